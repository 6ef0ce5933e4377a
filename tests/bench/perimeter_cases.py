"""What bench_perimeter.py lets happen to the regular users of a gate."""
from typing import NamedTuple, Optional

from perimeter_peers import CLUSTERS

PLACES, SERVICE_MS = 20, 50
CAPACITY = PLACES * 1000 / SERVICE_MS
QUIET_S, WARM_S, RAMP_S, ATTACK_S = 6, 1.5, 2.5, 5
SYN_RATE, SYN_S = 1_000_000, 3


class Users(NamedTuple):
    name: str
    words: str  # arguments of bench-users


class Case(NamedTuple):
    name: str
    words: str
    users: tuple
    attack: str = ""  # arguments of bench-attack, without where and when
    ramp_s: float = RAMP_S  # until the attack is complete; what is before is not counted
    goal_kept: float = 1.25  # p99 : quiet p99, of the first users
    goal_new: Optional[float] = None  # the same of the second
    goal_served: float = 100
    goal_used: Optional[float] = None  # % of the application's capacity
    kind: str = "crowd"  # which table
    has_tailored: bool = False  # who knows the application does better here


VICTIM = Users("victim", "users=10 from=127.1.1.1 host=noord.example path=/ rate=10 patience=6")
REGULARS = Users("regulars", "users=20 from=127.1.0.1 host=noord.example path=/dossier rate=32 login=1 patience=3")
ARRIVALS = Users("arrivals", "users=20 from=127.1.0.1 host=noord.example path=/dossier rate=20 login=1 new=1 patience=3")
TENANTS = Users("tenants", f"users={CLUSTERS} from=127.1.4.1 host=c%u.example path=/ rate=116 patience=6")
MANY = Users("many", "users=50 from=127.1.2.1 host=noord.example path=/dossier rate=194 login=1 patience=2")
CALLERS = Users("new", ARRIVALS.words.replace("127.1.0.1", "192.0.2.100").replace("rate=20 ", "rate=200 "))
CROWD = "flood connections=2000 addresses=2000 from=127.2.0.1 connects=1000 path=/"
BOTH = (REGULARS, ARRIVALS)


def attack(name, words, arguments, has_tailored=False):
    return Case(name, words, BOTH, f"{arguments} from=127.3.0.1 host=noord.example", 0.5, 1.25, 1.5, kind="attack",
                has_tailored=has_tailored)


CASES = [
    Case("quiet", "nobody else", (VICTIM, REGULARS, ARRIVALS), kind="quiet", has_tailored=True),
    Case("neighbour", "another cluster: 2,000 connections", (VICTIM,), f"{CROWD} host=zuid.example", goal_used=97),
    Case("slow", "the same, requests of ten times the cost", (VICTIM,), f"{CROWD}rapport host=zuid.example", goal_used=97),
    Case("streams", "another cluster: 20 HTTP/2 connections of 100 streams", (VICTIM,),
         "h2-streams connections=20 addresses=20 streams=100 from=127.2.0.1 host=zuid.example", goal_used=97),
    Case("handshakes", "another cluster: full handshakes", (VICTIM,),
         "handshakes connections=128 addresses=500 connects=20000 from=127.2.0.1 host=zuid.example", 0.5),
    Case("slowloris", "another cluster: slowloris, 5,000 connections", (VICTIM,),
         "slowloris connections=5000 addresses=5000 connects=2000 from=127.2.0.1 host=zuid.example", 0.5),
    Case("clusters", "1,000 clusters at 116 requests/s, one more with 2,000 connections", (TENANTS,), f"{CROWD} host=zuid.example",
         goal_used=97),
    Case("swarm", "the users' own cluster: a swarm of 2,000 addresses", (REGULARS,), f"{CROWD} host=noord.example", goal_kept=1.5,
         goal_served=99, goal_used=97, has_tailored=True),
    attack("http", "HTTP flood from 500 addresses", "flood connections=500 addresses=500 connects=1000 path=/", True),
    attack("hello", "ClientHello flood", "hello connections=500 addresses=500 connects=20000"),
    attack("full", "full handshakes", "handshakes connections=128 addresses=500 connects=20000"),
    attack("loris", "slowloris, 5,000 connections", "slowloris connections=5000 addresses=5000 connects=2000"),
    Case("syn", "SYN flood, random sources", (CALLERS,),
         ramp_s=0, goal_kept=1.2, kind="syn"),  # 10 ms more than without
    attack("resets", "HTTP/2 rapid resets", "h2-resets connections=50 addresses=50 connects=500 rate=50000 path=/"),
    attack("h2", "HTTP/2 streams, 20 connections of 100", "h2-streams connections=20 addresses=20 streams=100 path=/", True),
    attack("control", "HTTP/2 PING, SETTINGS, CONTINUATION", "h2-control connections=50 addresses=50 connects=500 rate=50000 path=/"),
    attack("bodies", "slow bodies, 2,000 connections", "slow-bodies connections=2000 addresses=2000 connects=1000 path=/"),
    Case("step", "a step from 0.5 to 1.4 x capacity", (MANY,),
         "open clear=1 connections=1500 addresses=1500 connects=5000 from=127.4.0.1 host=noord.example path=/ rate=349 patience=2",
         0.5, 1.5, goal_served=99, kind="step", has_tailored=True),
    Case("ten", "10 x capacity", (Users("few", MANY.words.replace("rate=194", "rate=39")),),
         "open clear=1 connections=8000 addresses=4000 connects=8000 from=127.4.0.1 host=noord.example path=/ rate=3841 patience=2",
         1.5, 1.5, goal_served=99, kind="step", has_tailored=True),
]
