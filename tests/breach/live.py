"""The attacks of attacks.def from within a gate at work: its own worker, signer, observer, dialer and
filter make them.

Behind all walls every attack is refused or ends the role; the role is replaced, that is reported, and the gate serves
on. The canary: with the walls removed that are named for it the same attack succeeds, in the same place. Which wall
holds off what by itself is the business of the program `breach`.
"""
import collections
import errno
import os

import pytest

from live_gate import (ATTACKS, NEEDS_ROOT, NEEDS_VICTIM, PROFILES, SPOIL_LISTENER, SPOIL_ROLE, LiveGate, Scene,
                       is_for, is_own_machine, walls_to_remove)

IN_ONE_GATE = 2  # deaths of a role: the master waits longer after each
ROWS = [(role, attack) for role in PROFILES for attack in ATTACKS if is_for(attack, role)]
IDS = [f"{role}-{attack.name}" for role, attack in ROWS]


@pytest.fixture(scope="session")
def scene():
    one = Scene()
    yield one
    one.close()


def spread(rows):
    """Lists of (role, attack), each for one gate, in which no role attacks too often; there are two workers."""
    queues = {role: collections.deque(attack for r, attack in rows if r == role) for role in PROFILES}
    while any(queues.values()):
        yield [(role, queues[role].popleft()) for role in PROFILES
               for _ in range(IN_ONE_GATE * (2 if role == "worker" else 1)) if queues[role]]


def actors_in_turn(gate, rows):
    """Each row with the actor that is to make it: workers take turns."""
    seen = collections.Counter()
    for role, attack in rows:
        workers = gate.workers_acting
        yield (workers[seen[role] % len(workers)] if role == "worker" else getattr(gate, role)), attack
        seen[role] += 1


# ---- behind all walls

@pytest.fixture(scope="session")
def blocked(scene):
    """{(role, attack's name): Outcome}"""
    outcomes = {}
    for rows in spread(ROWS):
        deaths = collections.Counter()
        with LiveGate(scene) as gate:
            for actor, attack in actors_in_turn(gate, rows):
                outcome = outcomes[actor.role, attack.name] = gate.attack(actor, attack)
                if outcome.end == "killed":
                    deaths[actor.role, actor.slot] += 1
                    gate.settle()
            gate.serves()
            told = {(r["role"], r["slot"]): r["restarts"] for r in gate.status()["roles"]}
            for key, count in deaths.items():
                assert told[key] == count, f"the {key[0]} was killed {count} times"
    return outcomes


@pytest.mark.parametrize("role, attack", ROWS, ids=IDS)
def test_is_blocked(blocked, role, attack):
    assert blocked[role, attack.name].end in ("refused", "killed")


# ---- the canary

def spoils(attack):
    return attack.name in SPOIL_ROLE or attack.needs & NEEDS_VICTIM


def canary_gates():
    """(walls to remove, rows): the harmless ones first, all in one gate, then as `spread` has it."""
    groups = collections.defaultdict(list)
    for role, attack in ROWS:
        if not attack.needs & NEEDS_ROOT or os.geteuid() == 0:
            alone = (role, attack.name) if attack.name in SPOIL_LISTENER else \
                attack.name if attack.needs & NEEDS_VICTIM else None
            groups[walls_to_remove(attack), alone].append((role, attack))
    for (without, _), rows in groups.items():
        harmless = [row for row in rows if not spoils(row[1])]
        lists = list(spread([row for row in rows if spoils(row[1])])) or [[]]
        lists[0] = harmless + lists[0]
        yield from ((without, one) for one in lists)


@pytest.fixture(scope="session")
def canaries(scene):
    outcomes = {}
    for without, rows in canary_gates():
        with LiveGate(scene, without) as gate:
            for actor, attack in actors_in_turn(gate, rows):
                outcomes[actor.role, attack.name] = canary(gate, actor, attack)
    return outcomes


def canary(gate, actor, attack):
    """What succeeded may have spoilt the attacker and its victim: others take their places. The attacker first: what it
    traces cannot be buried without it."""
    victim = gate.victim_of(actor)
    pid, victim_pid = actor.pid, victim.pid
    outcome = gate.attack(actor, attack)
    if not spoils(attack):
        return outcome
    if actor.pid == pid:
        gate.end_role(actor)
    if attack.needs & NEEDS_VICTIM and outcome.end == "succeeded":
        if "kill" in attack.name:
            victim.wait_up(but=victim_pid)
        else:
            gate.end_role(victim)
    if attack.name not in SPOIL_LISTENER:
        gate.settle()
    return outcome


@pytest.mark.parametrize("role, attack", ROWS, ids=IDS)
def test_succeeds_without_its_walls(canaries, role, attack):
    if (role, attack.name) not in canaries:
        pytest.skip("needs root")
    outcome = canaries[role, attack.name]
    is_absent = outcome.errno in (errno.ENOSYS, attack.absent) or (outcome.errno == errno.EPERM and not is_own_machine())
    if outcome.end == "refused" and is_absent:
        pytest.skip(f"cannot be had on this machine: {os.strerror(outcome.errno)}")
    assert outcome.end == "succeeded", outcome
