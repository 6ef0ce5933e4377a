"""What bench_perimeter.py makes of its measurements: numbers and tables."""
from perimeter_cases import CAPACITY, CASES, SYN_S, WARM_S
from perimeter_peers import TITLES

NAN = float("nan")


def percentile(samples, share):
    """Of those who were served."""
    values = sorted(sample[1] for sample in samples if sample[2] == 200)
    return values[min(len(values) - 1, int(len(values) * share / 100))] if values else NAN


def served(samples):
    return 100 * sum(sample[2] == 200 for sample in samples) / len(samples) if samples else NAN


def used(report):
    return 100 * report["used_ms"] / (report["over_ms"] * report["places"])


def pooled(rounds, which, group):
    return [sample for found in rounds for sample in found[which].get(group, [])]


def quiet_p99(results, peer, group):
    """Of the quiet run, or of the quiet times of all runs; the better of the two, which is the harder measure."""
    own = pooled(results.get("quiet", {}).get(peer, []), "quiet", group)
    all_of_them = pooled([found for of in results.values() for found in of.get(peer, [])], "quiet", group)
    return min(percentile(samples, 99) for samples in (own or all_of_them, all_of_them))


class Numbers:
    """What one gate's rounds of a case come to, beside its quiet values."""

    def __init__(self, results, case, peer):
        self.case, self.rounds = case, results.get(case.name, {}).get(peer, [])
        self.groups = [pooled(self.rounds, "users", group.name) for group in case.users]
        self.p99 = [percentile(group, 99) for group in self.groups]
        self.quiet = [quiet_p99(results, peer, group.name) for group in case.users]
        self.served = served([sample for group in self.groups for sample in group])

    def times(self, group):
        return self.p99[group] / self.quiet[group]

    def mean(self, of):
        return sum(map(of, self.rounds)) / len(self.rounds) if self.rounds else NAN

    def used(self):
        return self.mean(lambda found: used(found["application"]))

    def goodput(self):
        """Answers in time of what the application could do, in %; a user's answer counts when it comes."""
        begin = (WARM_S + self.case.ramp_s) * 1000

        def rate(found):
            over_s = found["attack"]["counted_s"]
            own = sum(sample[2] == 200 and begin <= sample[0] + sample[1] < begin + over_s * 1000
                      for which in ("quiet", "users") for group in found[which].values() for sample in group)
            return (own + found["attack"]["good"]) / over_s
        return 100 * self.mean(rate) / CAPACITY

    def stable_ms(self):
        """From when on 99 % of the users are served within the goal; None: not in this time."""
        begin = (WARM_S + self.case.ramp_s) * 1000
        limit = self.quiet[0] * self.case.goal_kept
        samples = sorted(self.groups[0], reverse=True)
        late, found = 0, None
        for count, (due, took, status) in enumerate(samples, 1):
            late += status != 200 or took > limit
            if count >= 100 and late <= count / 100:
                found = due - begin
        return max(0, found) if found is not None else None

    def short_of(self):
        """Which goals are missed, in words; nothing: all are reached."""
        case, missed = self.case, []
        if not self.served >= case.goal_served:
            missed.append("served")
        if not self.times(0) <= case.goal_kept:
            missed.append("p99")
        if case.goal_new and not self.times(1) <= case.goal_new:
            missed.append("p99 of new ones")
        if case.goal_used and not self.used() >= case.goal_used:
            missed.append("use")
        if case.kind == "step" and not self.goodput() >= 97:
            missed.append("goodput")
        if case.name == "step" and not (self.stable_ms() is not None and self.stable_ms() <= 20):
            missed.append("stable")
        return missed


# ---- the tables

def judged(numbers, peer, text):
    if peer != "polder":
        return text
    missed = numbers.short_of()
    return f"{text} ({'short of: ' + ', '.join(missed) if missed else 'reached'})"


def number_text(value, unit="", digits=0):
    return "-" if value is None or value != value else f"{value:,.{digits}f}{unit}"


def crowd_cell(n):
    use = f", {number_text(n.used())} % used" if n.case.goal_used else ""
    return (f"{number_text(percentile(n.groups[0], 50))}, {number_text(n.p99[0])} ms, {number_text(n.times(0), ' x', 2)}, "
            f"{number_text(n.served, digits=1)} % served{use}")


def attack_cell(n):
    sent = f", {number_text(n.mean(lambda found: found['attack']['opened'] / SYN_S))} SYN/s" if n.case.kind == "syn" else ""
    return " / ".join(f"{number_text(p99)} ({number_text(n.times(at), ' x', 2)})" for at, p99 in enumerate(n.p99)) + \
        f", {number_text(n.served, digits=1)} %{sent}"


def step_cell(n):
    stable = f"stable after {number_text(n.stable_ms(), ' ms')}, " if n.case.name == "step" else ""
    return f"{stable}{number_text(n.goodput())} % goodput; known users {attack_cell(n)}"


def quiet_cell(n):
    return ", ".join(number_text(value) for value in n.quiet)


def goal_text(case):
    parts = [f"{case.goal_kept} x" + (f" / {case.goal_new} x" if case.goal_new else ""), f"{case.goal_served} % served"]
    parts += [f"{case.goal_used} % used"] if case.goal_used else []
    parts += ["97 % goodput"] if case.kind == "step" else []
    parts += ["20 ms"] if case.name == "step" else []
    return ", ".join(parts) if case.kind != "quiet" else "-"


TABLES = [
    (("quiet",), "without an attack: p99 in ms of a cluster's users, regular users, their new connections", quiet_cell),
    (("crowd",), "a cluster's users while somebody else fills the application: p50, p99, times the quiet p99", crowd_cell),
    (("attack", "syn"), "p99 in ms of regular users: kept connections / new ones (times quiet), served", attack_cell),
    (("step",), "load beyond the capacity, which strangers add", step_cell),
]


def tables(results, peers):
    lines = []
    for kinds, words, cell in TABLES:
        cases = [case for case in CASES if case.kind in kinds and case.name in results]
        if not cases:
            continue
        lines += [f"| {words} | to reach | " + " | ".join(TITLES[peer] for peer in peers) + " |", "|---|---|" + "---|" * len(peers)]
        for case in cases:
            cells = []
            for peer in peers:
                numbers = Numbers(results, case, peer)
                text = cell(numbers) if numbers.rounds else "void" if peer != "haproxy-tailored" or case.has_tailored else "-"
                cells.append(judged(numbers, peer, text) if numbers.rounds and case.kind != "quiet" else text)
            lines.append(f"| {case.words} | {goal_text(case)} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines + cost_table(results, peers)


def cost_table(results, peers):
    cases = [case for case in CASES if case.name in results and case.kind != "quiet"]
    lines = ["| % of a core: gate + attackers | " + " | ".join(TITLES[peer] for peer in peers) + " |", "|---|" + "---|" * len(peers)]
    for case in cases:
        numbers = [Numbers(results, case, peer) for peer in peers]
        lines.append(f"| {case.words} | " + " | ".join(
            f"{number_text(100 * n.mean(lambda found: found['gate_cpu']))} + "
            f"{number_text(100 * n.mean(lambda found: found['attack']['cpu_s'] / (found['attack']['counted_s'] + case.ramp_s)))}"
            for n in numbers) + " |")
    return lines if cases else []
