#!/usr/bin/env python3
"""Generates a labelled stream of audit events for testing the anomaly detector.

    anomaly_stream.py --seed N --days D --learning L --people P --services S --out PREFIX

writes PREFIX.jsonl (one event a line), PREFIX.labels.json (attack and look-alike windows) and
PREFIX.context.json (what the vault knows at the beginning). Each seed is another organisation:
names, teams, connectors, hours, rates, habits and incidents all follow from it, and the same
arguments always give the same bytes. Times inside are seconds since the first local midnight.
"""
import argparse, bisect, datetime as dt, json, math, random, sys

HOUR, DAY = 3600.0, 86400.0
ZONES = [("Africa/Algiers", 1)] * 6 + [("Africa/Tunis", 1), ("Asia/Riyadh", 3), ("Asia/Dubai", 4), ("Africa/Dakar", 0)]
TEAMS = ["finance", "ventes", "support", "infra", "dev", "rh", "logistique", "juridique", "marketing", "qualite", "etudes", "caisse"]
NOUNS = """clients factures devis stock colis tickets contrats paie salaires fiches primes agenda annuaire archives banque budget
catalogue courrier cartes campagnes comptes credits dns email exports fiscal flotte forum guichet imports inventaire journal lettres
licences logs magasin marges mesures metriques paiements panier photos planning prix projets registre relances retours scanner sites
sms soldes sondages statistiques suivi tarifs terminaux tournees tva ventes virements vpn wiki""".split()
DATABASES = ["postgresql", "mysql", "mongodb", "oracle", "mssql"]
ONLINE = ["gmail", "google-drive", "salesforce", "jira", "slack", "odoo", "zendesk", "office365", "hubspot", "dropbox"]
KEYED = ["satim", "baridimob", "mobilis", "djezzy", "stripe", "cnas", "github", "gitlab", "twilio", "dhl", "s3", "ssh"]
ROLES = """paie facturation synchro indexeur robot rapprochement passerelle sauvegarde livraison sonde rotation relais export import
moteur file pont cache agent bilan crawler notifieur facteur tri lecteur tableau veille purge miroir compteur borne panier stock
planificateur traducteur vignette recherche antivirus mesure alerte quota tarif client colis""".split()
FIRST = "amel bilal chafia djamel elias farida ghania hakim ines jugurtha karima lyes meriem nadir ouiza rachid samia tarek wassila yacine".split()
LAST = "aoudia belaid cherif derradji ferhat guendouz hamdi idir kaci larbi mansouri nouar ouali rahmani saadi tahar yahi zerrouki".split()
HOSTILE = ['clé "production" « été »', "'; DROP TABLE audit;--", "日本語/鍵", "../../etc/shadow", "back\\slash\ttab\nline", "\u202egnp.exe", "🔑🔑", "x" * 700, "null", "<script>alert(1)</script>"]
WEIGHTS_DAY = {"office": [0] * 6 + [1, 3, 8, 10, 10, 9, 7, 7, 9, 10, 9, 5, 3, 2, 2, 1, 1, 0],
               "evening": [4, 2, 1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 6, 5, 5, 5, 6, 7, 8, 9, 9, 10, 8, 6],
               "flat": [1] * 24, "night": [9, 10, 10, 9, 8, 5, 2, 1] + [1] * 12 + [2, 3, 5, 7]}
ACCEPT = {"mass_enumeration": ["mass_enumeration", "rate_spike", "new_service_fanout", "slow_exfiltration"],
          "slow_exfiltration": ["slow_exfiltration", "mass_enumeration", "first_sensitive_access"],
          "denied_burst": ["denied_burst", "rate_spike", "stolen_token"], "first_sensitive_access": ["first_sensitive_access", "slow_exfiltration"],
          "privilege_escalation": ["privilege_escalation", "first_sensitive_access"], "rate_spike": ["rate_spike", "mass_enumeration"],
          "new_service_fanout": ["new_service_fanout", "mass_enumeration", "rate_spike"]}
SEVERITY = {"mass_enumeration": "high", "slow_exfiltration": "high", "denied_burst": "high", "stolen_token": "critical", "off_hours_access": "medium",
            "dormant_account": "high", "first_sensitive_access": "medium", "privilege_escalation": "critical", "rate_spike": "medium",
            "silent_death": "medium", "audit_tampering": "critical", "new_service_fanout": "high"}
BENIGN_PER_46_DAYS = {"connector_outage": 4, "password_trouble": 4, "cron_shift": 3, "night_duty": 3, "leave_return": 3, "onboarding": 2,
                      "granted_access": 2, "deploy_storm": 2, "holiday_silence": 2, "new_service": 2, "campaign": 2, "decommission": 1}
ATTACKS_PER_DAY = 48 / 46


class Person:
    """Somebody with favourite secrets, working hours and a way to log in."""
    def __init__(self, pid, uid, team, org, rng):
        self.id, self.uid, self.team, self.kind, self.unit = pid, uid, team, "user", "session.scope"
        usual, precious = org.split(team)
        self.secrets = rng.sample(usual, min(len(usual), rng.randint(5, 13)))
        self.secrets += rng.sample(precious, min(len(precious), rng.choice([0, 0, 1, 2, 3])))
        rng.shuffle(self.secrets)
        self.weights = [1 / (k + 1) ** rng.uniform(0.5, 1.1) for k in range(len(self.secrets))]
        self.portal = rng.choices([0.0, 1.0, rng.choice([0.03, 0.15])], org.portal_mix)[0]
        self.start, self.end = org.opens + rng.gauss(0, 0.35), org.closes + rng.gauss(0, 0.5)
        self.pace, self.off, self.saturday, self.night = rng.lognormvariate(0, 0.45), (4, 5), False, False
        self.typos, self.absent, self.evenings = rng.uniform(0.02, 0.25), rng.uniform(0.01, 0.1), rng.random() < 0.35
        self.first_day, self.last_time, self.leaves, self.grants, self.reset = 0, math.inf, [], [], {}
        self.admin = self.oncall = self.dormant = False
        self.sessions = []


class Service:
    """A program with one or more running copies; `mode` tells when it works."""
    def __init__(self, sid, team, mode, secrets):
        self.id, self.team, self.mode, self.secrets, self.kind = sid, team, mode, secrets, "service"
        self.copies, self.period, self.at, self.hours, self.rate, self.curve = [], 0.0, 0.0, (0, 24), 0.0, "flat"
        self.weekend, self.rotations, self.late, self.outages, self.busy_hours = True, [], {}, [], []
        self.first_time, self.last_time, self.dormant = 0.0, math.inf, False


class Copy:
    """One running process of a service under one uid and unit."""
    def __init__(self, uid, unit):
        self.uid, self.unit, self.cuts, self.sessions = uid, unit, [], []

    def at(self, t):
        return self.sessions[max(0, bisect.bisect_right(self.sessions, (t, math.inf)) - 1)]


class Organisation:
    """Everything that does not change with time, drawn from the seed."""
    def __init__(self, a):
        r = self.rng = random.Random(a.seed)
        self.seed, self.days, self.learning, self.scored, self.end = a.seed, a.days, a.learning, a.learning * DAY, a.days * DAY
        self.zone, offset = r.choice(ZONES)
        self.date = dt.date(2025, 1, 1) + dt.timedelta(days=r.randint(0, 900))
        self.epoch = int(dt.datetime(self.date.year, self.date.month, self.date.day, tzinfo=dt.timezone.utc).timestamp()) - offset * 3600
        self.opens, self.closes = r.choice([7, 7.5, 8, 8, 8.5, 9, 9.5]), r.choice([15, 16, 16.5, 17, 17.5, 18])
        self.portal_mix = r.choice([[6, 3, 3], [1, 0, 0], [2, 6, 2], [8, 1, 2]])
        self.hostile = r.random() < 0.3 or a.hostile
        self.token_hours, self.renew_hours = r.choice([2.5, 8, 12, 24]), r.choice([1, 2, 4, 6, 6, 12])
        self.relogin_days, self.running_before = r.choice([0, 0, 0, 1, 7]), r.random() < 0.3
        self.rate = a.rate or math.exp(r.uniform(math.log(max(200, 5 * a.people)), math.log(20000)))
        self.make_secrets(a)
        self.make_people(a)
        self.make_services(a)
        self.season = None
        if a.days > 30 and r.random() < 0.6:
            first = r.randint(max(2, a.learning // 2), a.days - 12)
            self.season = (first, first + r.randint(12, 29), r.uniform(0.5, 1.6), r.uniform(0.5, 2.0))
        self.holidays = {}

    def weekday(self, day):
        return (self.date + dt.timedelta(days=day)).weekday()

    def month_day(self, day):
        return (self.date + dt.timedelta(days=day)).day

    def split(self, team):
        own = self.rights[team]
        return [s for s in own if s not in self.sensitive], [s for s in own if s in self.sensitive]

    def make_secrets(self, a):
        r = self.rng
        names = r.sample(TEAMS, min(len(TEAMS), max(2, min(7, a.people // 6))))
        self.tech = names[0]
        self.rights = {t: [] for t in names}
        connectors = r.sample(DATABASES, r.randint(1, 3)) + r.sample(ONLINE, r.randint(2, 6)) + r.sample(KEYED, r.randint(3, 7))
        self.leased = [c for c in connectors if c in DATABASES or c in ONLINE and r.random() < 0.7]
        paths = []
        for c in connectors:
            for noun in r.sample(NOUNS, r.randint(3, 9)):
                if c in DATABASES: paths += [(c, f"role/{noun}-{x}") for x in (("ro", "rw") if r.random() < 0.6 else ("ro",))]
                else: paths.append((c, f"{'oauth' if c in ONLINE else 'key'}/{noun}"))
            paths.append((c, "role/admin" if c in DATABASES else "token/admin"))
        if self.hostile: paths += [(r.choice(connectors), h) for h in r.sample(HOSTILE, 5)]
        paths = [(p, r.choice(names)) for p in paths]
        for t in names: paths += [(("kv", f"{t}/{noun}"), t) for noun in r.sample(NOUNS, r.randint(14, 18))]
        self.secrets = [p for p, _ in paths]
        self.sensitive = {}
        for p, home in paths:
            self.rights[home].append(p)
            if r.random() < 0.25:
                other = r.choice(names)
                if other != home: self.rights[other].append(p)
            if p[1].endswith("/admin") or r.random() < 0.15: self.sensitive[p] = True
        for t in names:
            for p in r.sample([p for p in self.rights[t] if p[0] == "kv"], 3): self.sensitive[p] = True
        self.ordinary = [p for p in self.secrets if p not in self.sensitive]

    def make_people(self, a):
        r, style, base = self.rng, self.rng.randrange(5), self.rng.choice([1000, 5000, 20001, 61000])
        teams = list(self.rights)
        self.taken, self.next_uid, self.style = {}, base, style
        n_dormant = max(2, math.ceil((self.days - self.learning) / 40) + 1)
        self.people = [self.person(teams[0] if k < max(3, a.people // 5) else r.choice(teams)) for k in range(a.people + n_dormant)]
        staff, self.dormant = self.people[:a.people], self.people[a.people:]
        for p in self.dormant: p.dormant = True
        techs = [p for p in staff if p.team == self.tech]
        self.admins = techs[:2] if a.people > 10 else techs[:1]
        self.oncall = techs[:max(2, min(5, len(techs) - 1))]
        for p in self.admins: p.admin = True
        for p in self.oncall: p.oncall = True
        others = [p for p in staff if not p.oncall]
        if r.random() < 0.35:
            for p in others: p.saturday = r.random() < 0.6
        if r.random() < 0.3 and len(others) > 6:
            for p in r.sample(others, r.randint(1, max(1, len(others) // 10))):
                p.night, p.start, p.end, p.saturday = True, r.uniform(20.5, 22.5), r.uniform(29, 30.5), False
        for p in r.sample(others, r.choice([0, 0, 1, min(2, len(others) // 8)])): p.off, p.saturday = r.choice([(5, 6), (4, 6), (3, 4)]), False

    def person(self, team):
        r, k = self.rng, len(self.taken) + 1
        while True:
            pid = [f"u{k:03d}", f"p-{r.getrandbits(24):06x}", f"{r.choice(FIRST)}.{r.choice(LAST)}", f"E{r.randint(10000, 99999)}",
                   f"{r.getrandbits(32):08x}-{r.getrandbits(16):04x}"][self.style]
            if self.hostile and r.random() < 0.06: pid = r.choice(["o'brien ", 'zoé "z" ', "лена ", "a" * 180, "..\\", "\u202eresu "]) + str(k)
            if pid not in self.taken: break
        self.taken[pid] = True
        self.next_uid += r.randint(1, 3)
        return Person(pid, self.next_uid, team, self, r)

    def service_id(self, role):
        k, sid = 2, self.service_style % role
        while sid in self.taken: sid, k = self.service_style % f"{role}-{k}", k + 1
        self.taken[sid] = True
        return sid

    def new_uid(self):
        self.next_service_uid += 1
        return self.next_service_uid

    def make_services(self, a):
        r = self.rng
        self.service_style, self.next_service_uid = r.choice(["s-%s", "svc_%s", "%s", "app.%s", "%s@prod"]), r.choice([110, 400, 900])
        teams, roles, self.services = list(self.rights), ROLES * 2, []
        modes = ["rotator", "nightly", "deploy", "payroll", "volume", "poll", "poll"]
        modes += r.choices(["poll", "volume", "nightly", "rotator"], [6, 3, 2, 0.4], k=max(0, a.services - len(modes)))
        r.shuffle(roles)
        for mode, role in zip(modes[:a.services], roles):
            team = self.tech if mode in ("rotator", "deploy") else r.choice(teams)
            usual, precious = self.split(team)
            pick = r.sample(usual, min(len(usual), {"nightly": r.randint(4, 14), "deploy": r.randint(5, 10)}.get(mode, r.randint(1, 6))))
            if mode in ("payroll", "nightly") or r.random() < 0.25: pick += r.sample(precious, min(2, len(precious)))
            s = Service(self.service_id(role), team, mode, pick)
            uid = r.choice(self.services).copies[0].uid if self.services and r.random() < 0.08 else self.new_uid()
            s.copies = [Copy(uid, f"{role}.service")]
            if mode in ("poll", "volume") and r.random() < 0.15:
                s.copies = [Copy(uid if r.random() < 0.5 else self.new_uid(), f"{role}@{k}.service") for k in range(1, r.randint(3, 4))]
            s.period = r.choice([5, 5, 10, 15, 20, 30, 60]) * 60 if self.rate > 1500 else r.choice([15, 30, 60, 120, 240]) * 60
            s.at, s.weekend, s.curve = r.randint(0, 10) * 1800 + r.randint(0, 29) * 60, r.random() < 0.7, r.choice(["office", "office", "evening", "flat", "night"])
            if mode == "poll" and r.random() < 0.35: s.hours = (int(self.opens) - 1, int(self.closes) + 1)
            if mode == "rotator":
                for p in r.sample(self.secrets, min(len(self.secrets), r.randint(6, 20))):
                    h = r.choices([24, 6, 12, 168, 720], [6, 2, 1, 1, 2])[0]
                    s.rotations.append((p, h * HOUR, (r.choice([s.at, s.at, r.randint(0, 287) * 300]) % (h * HOUR)) + (r.randint(0, h // 24 - 1) * DAY if h > 24 else 0)))
            elif mode == "poll" and r.random() < 0.25: s.rotations.append((s.secrets[0], r.choice([6, 24, 24]) * HOUR, r.randint(1, 70) * 300))
            self.services.append(s)
        if not any(x[1] <= DAY for x in self.services[0].rotations): self.services[0].rotations.append((self.secrets[0], DAY, 7800.0))
        self.portal = Service(self.service_id("portail"), self.tech, "none", [])
        self.portal.copies = [Copy(self.new_uid(), "portail.service")]
        self.asleep = []
        for k in range(1 + (self.days - self.learning) // 45):
            s = Service(self.service_id(f"ancien-{k}"), self.tech, "none", r.sample(self.split(self.tech)[0], 2))
            s.copies, s.dormant = [Copy(self.new_uid(), f"ancien-{k}.service")], True
            self.asleep.append(s)
        load = lambda: sum(len(s.secrets) * (s.hours[1] - s.hours[0]) * HOUR / s.period for s in self.services if s.mode == "poll")
        while load() > self.rate * 0.45:
            for s in self.services: s.period *= 2
        share = self.rate * r.uniform(0.25, 0.6)
        self.per_person = max(6, min(60, share / a.people))
        rest = max(20.0 * sum(s.mode == "volume" for s in self.services), self.rate - load() - self.per_person * a.people)
        cut = [r.lognormvariate(0, 0.8) for _ in self.services]
        total = sum(c for c, s in zip(cut, self.services) if s.mode == "volume") or 1
        for c, s in zip(cut, self.services): s.rate = rest * c / total


class Stream:
    """Simulates an organisation, then adds attacks; collects events and windows."""
    def __init__(self, org):
        self.org, self.r, self.events, self.windows, self.busy, self.actors, self.keys = org, org.rng, [], [], {}, [], {}
        self.pid_top = self.r.choice([32768, 60000, 4194304])
        self.fresh, self.duties, self.mutes, self.holes, self.spent = [], [], [], [], {}

    # ---- small tools ----
    def key(self, kind, who, uid, unit, team):
        k = (kind, who, uid, unit, team)
        if k not in self.keys:
            self.keys[k] = len(self.actors)
            self.actors.append(json.dumps({"kind": kind, "id": who, "uid": uid, "unit": unit, "teams": [team] if team else []}, ensure_ascii=False))
        return self.keys[k]

    def token(self): return f"a-{self.r.getrandbits(40):010x}"
    def pid(self): return self.r.randint(900, self.pid_top)
    def poisson(self, m):
        if m > 60: return max(0, round(self.r.gauss(m, math.sqrt(m))))
        n, p, limit = 0, self.r.random(), math.exp(-m)
        while p > limit: n, p = n + 1, p * self.r.random()
        return n

    def latency(self, op, conn, outcome):
        r = self.r
        if op == "heartbeat": return 0
        if outcome == "denied": return int(r.lognormvariate(5, 0.5))
        if outcome == "error": return int(r.lognormvariate(14.4, 0.5))
        if op == "login": return int(r.lognormvariate(10.5, 0.5))
        if op == "rotate": return int(r.lognormvariate(10.4, 0.8))
        return int(r.lognormvariate(9.3 if conn in DATABASES else 6.25, 0.45))

    def add(self, t, key, op, secret, outcome="ok", tok="", pid=700, bad=False):
        lease = outcome == "ok" and secret[0] in self.org.leased and op in ("read", "renew", "revoke")
        self.events.append((t, key, op, secret, outcome, self.latency(op, secret[0], outcome), tok, f"l-{self.r.getrandbits(40):010x}" if lease else "", pid, bad))

    def window(self, kind, a, b, actors, note, difficulty="", block=True):
        benign = difficulty == ""
        self.windows.append({"start": a, "end": b, "actor": actors[0], "actors": actors, "kind": kind, "benign": benign, "severity": "none" if benign else SEVERITY[kind],
                             "difficulty": difficulty, "note": note, "accept": [] if benign else ACCEPT.get(kind, [kind])})
        if block:
            for x in actors if not benign else actors[:2]: self.busy.setdefault(x, []).append((a - HOUR, b + HOUR))

    def free(self, who, a, b):
        return all(b < x or a > y for x, y in self.busy.get(who, []))

    def may(self, who, secret): return secret in self.org.rights[who.team]

    def count(self, kind):
        x = BENIGN_PER_46_DAYS[kind] * (self.org.days - self.org.learning) / 46
        return int(x) + (self.r.random() < x - int(x))

    def work_days(self, lo, hi):
        return [d for d in range(int(lo), int(hi)) if self.org.weekday(d) not in (4, 5) and d not in self.org.holidays]

    def person_key(self, p, portal=None):
        portal = self.r.random() < p.portal if portal is None else portal
        c = self.org.portal.copies[0]
        return (self.key("user", p.id, c.uid, c.unit, p.team), "auth/portal") if portal else (self.key("user", p.id, p.uid, p.unit, p.team), "auth/peer")

    def copy_key(self, s, c): return self.key("service", s.id, c.uid, c.unit, s.team)

    def admin_does(self, day, hour, op, target, wait=()):
        """An administrator's change during a session of that day; returns its time, or None."""
        for p in self.r.sample(self.org.admins, len(self.org.admins)):
            for s in p.sessions:
                if s[0] + 60 < day * DAY + hour * HOUR < s[1] - 200:
                    t = day * DAY + hour * HOUR + self.r.uniform(0, 60)
                    for k, (o, x) in enumerate([(op, target), *wait]): self.add(t + 35 * k, s[4], o, ("sys", x), tok=s[2], pid=s[3])
                    return t, p
        p = self.org.admins[0]
        t, (key, how), tok, pid = day * DAY + hour * HOUR, self.person_key(p), self.token(), self.pid()
        self.add(t, key, "login", ("auth", how), tok=tok, pid=pid)
        for k, (o, x) in enumerate([(op, target), *wait]): self.add(t + 40 + 35 * k, key, o, ("sys", x), tok=tok, pid=pid)
        p.sessions.append((t, t + 300, tok, pid, key))
        return t + 40, p

    # ---- what is planned before the simulation ----
    def plan(self):
        o, r = self.org, self.r
        for d in range(o.days):
            if o.weekday(d) not in (4, 5) and r.random() < 0.025: o.holidays[d] = True
        days = self.work_days(o.learning, o.days - 1)
        for d in r.sample(days, min(len(days) // 4, self.count("holiday_silence"))): o.holidays[d] = True
        staff = [p for p in o.people if not p.dormant]
        ids = [p.id for p in staff]
        for d in sorted(o.holidays):
            if d >= o.learning: self.window("holiday_silence", d * DAY + 7 * HOUR, d * DAY + 19 * HOUR, ids, "public holiday", block=False)
        live = [s for s in o.services if s.mode in ("poll", "volume")]
        if r.random() < self.count("decommission"):
            gone = r.choice(live) if len(live) > 3 and r.random() < 0.7 or len(staff) < 9 else r.choice([p for p in staff if not p.oncall])
            gone.last_time = r.choice(days[len(days) // 3:]) * DAY + r.uniform(9, 14) * HOUR
            self.busy[gone.id] = [(gone.last_time - DAY, o.end)]
            live = [s for s in live if s is not gone]
        for p in r.sample([p for p in staff if not p.admin and p.last_time > o.end], min(len(staff) // 3, self.count("leave_return") + 1)):
            length = r.randint(6, 21)
            back = [d for d in self.work_days(o.learning + 1, o.days - 2) if d > length and o.weekday(d) not in p.off]
            if not back: continue
            d = r.choice(back)
            p.leaves.append((d - length, d))
            self.window("leave_return", d * DAY + 7 * HOUR, (d + 1) * DAY + 19 * HOUR, [p.id], f"back after {length} days of leave")
            self.busy.setdefault(p.id, []).append(((d - length) * DAY, d * DAY))
        for _ in range(self.count("granted_access")):
            p, d = r.choice([p for p in staff if not p.admin and not p.night]), r.choice(days)
            new = [s for s in o.split(p.team)[1] if s not in p.secrets]
            if new and self.free(p.id, d * DAY, (d + 8) * DAY): p.grants.append((d * DAY + r.uniform(10, 12) * HOUR, r.choice(new))); self.busy.setdefault(p.id, []).append((d * DAY, (d + 8) * DAY))
        for _ in range(self.count("password_trouble")):
            p, d = r.choice([p for p in staff if not p.admin and not p.night]), r.choice(days)
            if self.free(p.id, d * DAY, (d + 1) * DAY): p.reset[d] = True
        night = [s for s in o.services if s.mode in ("nightly", "payroll")]
        for _ in range(self.count("cron_shift")):
            s, d = r.choice(night), r.randint(o.learning, o.days - 2)
            if d not in s.late:
                s.late[d] = HOUR
                self.window("cron_shift", d * DAY, d * DAY + 23.9 * HOUR, [s.id], "the nightly job runs one hour later")
        for _ in range(self.count("connector_outage")):
            s, t = r.choice(live), r.uniform(o.scored + HOUR, o.end - 3 * HOUR)
            p, length = r.choice(s.secrets), r.uniform(300, 900)
            hit = [x for x in live if x is s or r.random() < 0.5 and p in x.secrets]
            if all(self.free(x.id, t, t + length) for x in hit):
                for x in hit: x.outages.append((t, t + length, p))
                self.window("connector_outage", t, t + length, [x.id for x in hit], "remote system down, the service retries")
        for _ in range(self.count("campaign")):
            s, t = r.choice([s for s in live if s.mode == "volume"] or live), r.choice(days) * DAY + r.randint(9, 17) * HOUR
            if self.free(s.id, t, t + 3 * HOUR):
                s.busy_hours.append((t, t + 3 * HOUR))
                self.window("campaign", t, t + 3 * HOUR, [s.id], "commercial campaign: twice the usual load for three hours")
        for d in range(o.learning, o.days):
            if 25 <= o.month_day(d) <= 28:
                who = [s.id for s in o.services if s.mode == "payroll"] + [p.id for p in staff if p.team == self.closing_team()]
                self.window("month_end", d * DAY + 7 * HOUR, d * DAY + 21 * HOUR, who, "payroll and closing", block=False)
        for k in range(self.count("deploy_storm") + o.days // 8):
            labelled = k < self.count("deploy_storm")
            d = r.choice(days if labelled else self.work_days(0, o.days))
            s0, t = next(s for s in o.services if s.mode == "deploy"), d * DAY + r.uniform(o.opens + 1, o.closes - 2) * HOUR
            group = r.sample(live, min(len(live), r.randint(3, 9) if labelled else 2))
            group = [s for s in group if self.free(s.id, t - HOUR, t + 3 * HOUR)]
            last = t
            for s in [s0] * (r.randint(4, 8) if labelled else 1) + group:
                at = t + r.uniform(0, 7000)
                last = max(last, at + 120)
                for c in s.copies: c.cuts.append((at + r.uniform(0, 20), True))
            if labelled: self.window("deploy_storm", t, last, [s0.id] + [s.id for s in group], "many releases in two hours")
            for s in group: self.busy.setdefault(s.id, []).append((t - HOUR, last + HOUR))

    def closing_team(self):
        return next(s.team for s in self.org.services if s.mode == "payroll")

    # ---- people ----
    def simulate_people(self):
        o, r = self.org, self.r
        for _ in range(self.count("onboarding")):
            d = r.choice(self.work_days(o.learning, o.days - 4))
            p = o.person(r.choice(list(o.rights)))
            p.first_day, p.secrets = d, [s for s in p.secrets if s not in o.sensitive]
            p.weights = p.weights[:len(p.secrets)]
            self.fresh.append(p)
        everybody = sorted((p for p in o.people + self.fresh if not p.dormant), key=lambda p: not p.admin)
        for p in everybody:
            for d in range(p.first_day, o.days): self.person_day(p, d)
        for p in o.oncall: self.on_call(p)
        for p in everybody: p.sessions.sort()
        for p in self.fresh:
            hour = (p.sessions[0][0] / DAY - p.first_day) * 24 - 0.35
            at, who = self.admin_does(p.first_day, hour, "identity_write", f"sys/identity/{p.id}", [("policy_write", f"sys/policy/{p.id}")])
            self.window("onboarding", at, (p.first_day + 2) * DAY + 18 * HOUR, [p.id], "a new employee discovers the team's connectors")
        for p in everybody:
            for t, secret in p.grants:
                at, who = self.admin_does(int(t // DAY), t % DAY / HOUR, "policy_write", f"sys/policy/{p.id}")
                if at >= o.scored: self.window("granted_access", at, min(o.end - 60, at + 7.1 * DAY), [p.id, who.id], "role granted by the usual administrator, used daily from then on")
            if p.last_time < o.end: self.revoke(p)
        for d in range(o.days):
            if o.weekday(d) in (4, 5) or d in o.holidays: continue
            if r.random() < 0.45: self.admin_does(d, r.uniform(o.opens + 1, o.closes - 1.5), "policy_write", f"sys/policy/equipe-{r.choice(list(o.rights))}")
            if o.weekday(d) == 3: self.admin_does(d, r.uniform(o.opens + 1, o.closes - 1.5), "audit_read", "sys/audit/export")
        for t, b, p in r.sample(self.duties, min(len(self.duties), self.count("night_duty"))):
            self.window("night_duty", t, b, [p.id], "on-call technician, who does this every few weeks")

    def revoke(self, x):
        d = int(x.last_time // DAY)
        at, who = self.admin_does(d, x.last_time % DAY / HOUR, "revoke", f"sys/identity/{x.id}")
        self.window("decommission", at, self.org.end - HOUR, [x.id], "identity revoked by an administrator, then silence")

    def person_day(self, p, d):
        o, r, wd = self.org, self.r, self.org.weekday(d)
        if any(a <= d < b for a, b in p.leaves): return
        new = d == p.first_day and d > 0
        start, end, pace = p.start, p.end, p.pace * o.per_person
        if not new:
            if d in o.holidays: return
            if wd in p.off:
                if wd == 5 and p.saturday: end, pace = start + 4.5, pace / 2
                elif r.random() < 0.003: end, pace = start + 3, pace / 3
                else: return
            elif r.random() < p.absent and d not in p.reset: return
        if o.season and o.season[0] <= d < o.season[1] and not p.night: start, end, pace = start + o.season[2], end - o.season[3], pace * 0.85
        if p.team == self.closing_team() and 25 <= o.month_day(d) <= 28: end, pace = end + r.uniform(0, 2.5), pace * 1.5
        if r.random() < 0.006 and not p.night: end += r.uniform(1, 3.5)
        a, b = d * DAY + (start + r.gauss(0, 0.22)) * HOUR, d * DAY + (end + r.gauss(0, 0.55)) * HOUR
        if new: a = d * DAY + (max(start, o.opens) + 1) * HOUR
        b = max(b, a + 2 * HOUR)
        if a >= min(o.end, p.last_time): return
        spans = [(a, min(b, o.end - 5, p.last_time - 60))]
        if o.season and o.season[0] <= d < o.season[1] and p.evenings and r.random() < 0.4: spans.append((d * DAY + r.uniform(20.3, 22) * HOUR, d * DAY + r.uniform(22.3, 23.8) * HOUR))
        for k, (a, b) in enumerate(spans):
            if b - a < 600: continue
            if k == 0 and d in p.reset:
                for x in range(r.randint(3, 6)): self.add(a - 400 + x * 45 + r.uniform(0, 30), self.person_key(p)[0], "login", ("auth", "auth/peer"), "denied", pid=self.pid())
                at, who = self.admin_does(d, (a - 60 - d * DAY) / HOUR, "identity_write", f"sys/identity/{p.id}/reset")
                if d >= o.learning: self.window("password_trouble", a - 400, a + 100, [p.id], "forgotten password, reset by an administrator")
                a = max(a, at + 40)
            cuts = [a]
            while b - cuts[-1] > o.token_hours * HOUR + 600: cuts.append(cuts[-1] + o.token_hours * HOUR + r.uniform(0, 300))
            if r.random() < 0.07 and len(cuts) == 1: cuts.append(r.uniform(a + 900, b))
            for t0, t1 in zip(cuts, cuts[1:] + [b]): self.session(p, t0, t1, max(1, self.poisson(pace * (0.4 if k else 1) * (t1 - t0) / (b - a) * r.uniform(0.4, 1.6))), discover=new)

    def session(self, p, t0, t1, n, discover=False):
        """One log-in and its work: bursts of a few requests."""
        o, r = self.org, self.r
        key, how = self.person_key(p)
        if r.random() < p.typos:
            for k in range(r.choice([1, 1, 1, 1, 2, 3])): self.add(t0 - 12 * (k + 1) - r.uniform(0, 8), key, "login", ("auth", how), "denied", pid=self.pid())
        tok, pid = self.token(), self.pid()
        self.add(t0, key, "login", ("auth", how), tok=tok, pid=pid)
        p.sessions.append((t0, t1, tok, pid, key))
        jobs, t = [], t0 + 60
        if discover:
            for s in r.sample(o.split(p.team)[0], min(len(o.split(p.team)[0]), r.randint(8, 14))):
                jobs.append((t, s)); t += r.uniform(30, 240)
        if t0 < o.scored - DAY: jobs += [(r.uniform(t0 + 30, t1), s) for s in p.secrets if s in o.sensitive and r.random() < 0.25]
        for at, s in p.grants:
            if t1 > at + 3000: jobs += [(r.uniform(max(t0 + 30, at + 2400), t1), s) for _ in range(r.choice([1, 1, 2]))]
        while n > 0:
            t = r.uniform(t0 + 10, t1)
            for _ in range(min(n, 1 + int(r.expovariate(0.35)))):
                s, x = r.choices(p.secrets, p.weights)[0], r.random()
                if x < 0.008: s = r.choice(o.split(p.team)[0])
                elif x < 0.011: s = r.choice(o.ordinary)
                jobs.append((t, s)); n -= 1
                t += 1.5 + r.expovariate(1 / 12)
        for t, s in jobs:
            if t > t1: continue
            op = r.choices(["read", "list", "write"], [93, 4, 0.4])[0]
            granted = any(s == g for _, g in p.grants)
            outcome = "denied" if not self.may(p, s) and not granted else "error" if r.random() < 0.003 else "ok"
            self.add(t, key, op, s, outcome, tok, pid)
            if outcome == "ok" and op == "read" and s[0] in o.leased:
                if r.random() < 0.12: self.add(min(t1, t + r.uniform(300, 2400)), key, "renew", s, tok=tok, pid=pid)
                if r.random() < 0.2: self.add(min(t1, t + r.uniform(600, 5400)), key, "revoke", s, tok=tok, pid=pid)

    def on_call(self, p):
        o, r = self.org, self.r
        step = r.uniform(7, 16)
        t = r.uniform(0.5, o.learning * 0.7)
        while t < o.days - 1:
            d = int(t)
            hour = r.uniform(0.5, 4) if t < o.learning * 0.7 or r.random() < 0.6 else r.uniform(17, 21) if r.random() < 0.5 else r.uniform(9, 18)
            a = d * DAY + hour * HOUR
            if not any(x <= d < y for x, y in p.leaves) and (hour < 5 or hour > o.closes + 2 or o.weekday(d) in (4, 5)):
                self.session(p, a, a + r.uniform(1200, 3600), r.randint(4, 14))
                if hour < 5 and a > o.scored and self.free(p.id, a, a + HOUR): self.duties.append((a, a + HOUR, p)); self.busy.setdefault(p.id, []).append((a - HOUR, a + 2 * HOUR))
            t += step * r.uniform(0.5, 1.5)

    # ---- services ----
    def simulate_services(self):
        o, r = self.org, self.r
        heart = self.key("system", "coffred", 980, "coffred.service", "")
        shift = r.uniform(0, 0.9)
        for k in range(int(o.end // 300)): self.add(k * 300 + shift + r.uniform(0, 0.05), heart, "heartbeat", ("sys", "sys/health"))
        for _ in range(self.count("new_service")):
            s = Service(o.service_id(f"appli-{r.getrandbits(16):04x}"), r.choice(list(o.rights)), "poll", [])
            s.secrets, s.period = r.sample(o.split(s.team)[0], r.randint(2, 3)), r.choice([15, 30, 30, 60]) * 60
            s.copies = [Copy(o.new_uid(), f"{s.id.strip('@.')}.service")]
            d = r.choice(self.work_days(o.learning, o.days - 3))
            at, who = self.admin_does(d, r.uniform(o.opens + 1, o.closes - 1.5), "identity_write", f"sys/identity/{s.id}", [("policy_write", f"sys/policy/{s.id}")] if r.random() < 0.8 else [])
            s.first_time = at + r.uniform(200, 900)
            o.services.append(s)
            self.window("new_service", at, min(o.end - 60, at + 2 * DAY), [s.id], f"a registered service with {len(s.secrets)} secrets and a steady schedule")
        for s in o.services:
            for c in s.copies: self.run_copy(s, c)
            self.work(s)
            if s.last_time < o.end: self.revoke(s)

    def run_copy(self, s, c):
        o, r = self.org, self.r
        key, end, t = self.copy_key(s, c), min(o.end, s.last_time), s.first_time + r.uniform(1, 6)
        cuts = [(t, False)] + [x for x in c.cuts if s.first_time < x[0] < end]
        while True:
            t += r.expovariate(1 / (22 * DAY))
            if t >= end: break
            if self.free(s.id, t - 60, t + 60): cuts.append((t, False))
        if o.relogin_days: cuts += [(t, None) for t in [s.first_time + (k + 0.3) * o.relogin_days * DAY for k in range(o.days)] if s.first_time < t < end]
        cuts.sort(key=lambda x: x[0])
        pid = self.pid()
        for k, (t0, release) in enumerate(cuts):
            t1 = cuts[k + 1][0] if k + 1 < len(cuts) else end
            if t1 - t0 < 60 and k: continue
            tok, pid = self.token(), pid if release is None else self.pid()
            c.sessions.append((t0, t1, tok, pid, key))
            if k or s.first_time or not o.running_before: self.add(t0, key, "login", ("auth", "auth/peer"), tok=tok, pid=pid)
            if release or release is False and k:
                for j, secret in enumerate(s.secrets): self.add(t0 + 3 + 4 * j + r.uniform(0, 3), key, "read", secret, "ok", tok, pid)
            t = t0 + o.renew_hours * HOUR
            while t < t1:
                self.add(min(t1 - 1, t + r.uniform(-60, 60)), key, "renew", ("auth", "auth/token/self"), tok=tok, pid=pid)
                t += o.renew_hours * HOUR

    def request(self, s, t, secret, op="read", copy=None):
        c = copy or self.r.choice(s.copies)
        if not s.first_time + 20 < t < min(self.org.end, s.last_time) or not c.sessions: return
        for a, b, p in s.outages:
            if a <= t <= b and p == secret: return
        x = c.at(t)
        self.add(max(t, x[0] + 2), x[4], op, secret, "error" if self.r.random() < 0.003 else "ok", x[2], x[3])

    def work(self, s):
        o, r = self.org, self.r
        for a, b, p in s.outages:
            t = a
            while t < b:
                x = s.copies[0].at(t)
                self.add(t, x[4], "read", p, "error", x[2], x[3])
                t += r.uniform(5, 22)
        for p, period, offset in s.rotations:
            t = offset
            while t < o.end:
                self.request(s, t + r.uniform(0, 40), p, "rotate", s.copies[0])
                if r.random() < 0.004: self.request(s, t + 7 * HOUR, p, "rotate", s.copies[0])
                t += period
        for d in range(o.days):
            rest = o.weekday(d) in (4, 5) or d in o.holidays
            if rest and not s.weekend: continue
            if s.mode == "poll":
                t = d * DAY + s.hours[0] * HOUR + s.at % s.period
                while t < d * DAY + s.hours[1] * HOUR:
                    for k, p in enumerate(s.secrets): self.request(s, t + 4 * k + r.uniform(0, 4), p)
                    t += s.period
            elif s.mode == "volume":
                weights, season = WEIGHTS_DAY[s.curve], o.season and o.season[0] <= d < o.season[1]
                for h in range(24):
                    a = d * DAY + h * HOUR
                    m = s.rate * weights[h - (season and s.curve != "flat" or 0)] / sum(weights) * (0.5 if rest and s.curve == "office" else 1) * (2 if any(x <= a < y for x, y in s.busy_hours) else 1)
                    for _ in range(self.poisson(m * r.uniform(0.75, 1.25))): self.request(s, a + r.uniform(0, HOUR), r.choice(s.secrets))
            elif s.mode in ("nightly", "payroll"):
                t = d * DAY + s.at + s.late.get(d, 0)
                for k, p in enumerate(s.secrets[:2] if s.mode == "payroll" else s.secrets): self.request(s, t + 9 * k + r.uniform(0, 8), p)
                if s.mode == "payroll" and 25 <= o.month_day(d) <= 28:
                    for k in range(int((o.closes - o.opens) * 6)):
                        for _ in range(r.randint(1, 4)): self.request(s, d * DAY + o.opens * HOUR + k * 600 + r.uniform(0, 9), r.choice(s.secrets))
            elif s.mode == "deploy" and not rest:
                for _ in range(r.choice([0, 1, 1, 2])):
                    t = d * DAY + r.uniform(o.opens + 1, o.closes - 1) * HOUR
                    for k, p in enumerate(s.secrets): self.request(s, t + 4 * k + r.uniform(0, 3), p)

    # ---- attacks ----
    def attack(self):
        """Places the attacks: long ones first, difficulties in turn, each where its actor is free."""
        o, r = self.org, self.r
        total, kinds, grades, bag, missed = round((o.days - o.learning) * ATTACKS_PER_DAY), sorted(SEVERITY), {}, [], []
        for k in kinds: grades[k] = r.sample("emhx", 4)
        while len(bag) < total:
            for k in r.sample(kinds, len(kinds)): bag.append((k, grades[k][sum(b[0] == k for b in bag) % 4]))
        bag = bag[:total]
        order = ["slow_exfiltration", "silent_death", "dormant_account"]
        for kind, grade in sorted(bag, key=lambda b: order.index(b[0]) if b[0] in order else 9):
            for _ in range(60):
                if getattr(self, kind)(grade): break
            else: missed.append(kind)
        if missed: print(f"no place found for {len(missed)} attacks of {total}: {', '.join(missed)}", file=sys.stderr)

    def staff(self):
        return [p for p in self.org.people if not p.dormant]

    def moment(self, people, length, margin=300):
        """A person, a time and a session in which `length` seconds of attack fit."""
        for _ in range(60):
            p = self.r.choice(people)
            fit = [s for s in p.sessions if s[0] > self.org.scored and s[1] - s[0] > length + 2 * margin]
            if not fit: continue
            s = self.r.choice(fit)
            t = self.r.uniform(s[0] + margin, s[1] - length - margin)
            if self.free(p.id, t - 600, t + length + 600): return p, t, s
        return None

    def service_moment(self, services, length, steady=True):
        for _ in range(60):
            s, t = self.r.choice(services), self.r.uniform(self.org.scored + 60, self.org.end - length - HOUR)
            if s.first_time > self.org.scored - 3 * DAY or t + length > s.last_time - HOUR or not self.free(s.id, t - 600, t + length + 600): continue
            if not steady or all(c.at(t)[0] < t - 600 and c.at(t)[1] > t + length + 600 for c in s.copies): return s, t
        return None

    def run(self, t, length, secrets, key, tok, pid, allowed):
        """Spreads requests over `length` seconds; returns the time of the last one."""
        at = sorted(self.r.uniform(0, length) for _ in secrets)
        at = [t + x - at[0] for x in at] if at else []
        for x, s in zip(at, secrets): self.add(x, key, "read", s, "ok" if allowed(s) else "denied", tok, pid, True)
        return at[-1] if at else t

    def done(self, kind, a, last, actors, note, grade):
        self.window(kind, a, last + self.r.uniform(15, 120), actors, note, grade)
        return True

    def workers(self): return [s for s in self.org.services if s.mode in ("poll", "volume") and s.first_time == 0]

    def mass_enumeration(self, g):
        o, r = self.org, self.r
        n, length, lists = {"e": (r.randint(45, 80), r.uniform(40, 120), 10), "m": (r.randint(26, 40), r.uniform(240, 600), r.randint(0, 6)),
                            "h": (r.randint(16, 22), r.uniform(1000, 1800), r.choice([0, 3])), "x": (r.randint(12, 15), r.uniform(1800, 3000), 0)}[g]
        if g == "e" and r.random() < 0.6:
            m = self.service_moment(self.workers(), length)
            if not m: return False
            who, t, c = *m, m[0].copies[0]
            _, _, tok, pid, key = c.at(t)
        else:
            m = self.moment(self.staff(), length)
            if not m: return False
            who, t, (_, _, tok, pid, key) = m
        usual, precious = o.split(who.team)
        pool = [s for s in (o.secrets if g in "em" else usual) if s not in who.secrets]
        if g == "h": pool += r.sample([s for s in o.secrets if not self.may(who, s)], 4)
        n, start = min(n, len(pool)), t
        if n < (10 if g == "x" else 12): return False
        conns = sorted({s[0] for s in o.secrets})
        for c in r.sample(conns, min(lists, len(conns))):
            self.add(t, key, "list", (c, "*"), "denied" if r.random() < 0.4 else "ok", tok, pid, True)
            t += r.uniform(0.4, 2)
        last = self.run(t, length, r.sample(pool, n), key, tok, pid, lambda s: self.may(who, s))
        return self.done("mass_enumeration", start, last, [who.id], f"{n} distinct secrets in {length:.0f} s", g)

    def slow_exfiltration(self, g):
        o, r = self.org, self.r
        a_day, days = {"e": (6, r.randint(7, 10)), "m": (4, r.randint(7, 9)), "h": (3, r.randint(6, 9)), "x": (2, r.randint(9, 13))}[g]
        days = max(3, min(days, (o.days - o.learning) // 3))
        p = r.choice([p for p in self.staff() if not p.night])
        by_day = {}
        for s in sorted(p.sessions, key=lambda s: s[1] - s[0]):
            if s[1] - s[0] > 1.3 * HOUR and s[0] > o.scored: by_day[int(s[0] // DAY)] = s
        keys = sorted(by_day)
        if len(keys) < days + 1: return False
        k = r.randint(0, len(keys) - days)
        chosen = keys[k:k + days]
        if chosen[-1] - chosen[0] > days * 2.2 or not self.free(p.id, chosen[0] * DAY, (chosen[-1] + 1) * DAY): return False
        own, other = [s for s in o.rights[p.team] if s not in p.secrets], [s for s in o.secrets if not self.may(p, s)]
        todo = (r.sample(own, len(own)) + r.sample(other, len(other)))[:a_day * days]
        if r.random() < 0.4: r.shuffle(todo)
        if len(todo) < a_day * days: return False
        times = []
        for d in chosen:
            a, b, tok, pid, key = by_day[d]
            for t in sorted(r.uniform(a + 900, b - 60) for _ in range(a_day)):
                s = todo.pop(0)
                self.add(t, key, "read", s, "ok" if self.may(p, s) else "denied", tok, pid, True)
                times.append(t)
        self.window("slow_exfiltration", times[0], times[-1] + 1, [p.id], f"{a_day} unfamiliar secrets a day for {days} days", g)
        return True

    def denied_burst(self, g):
        o, r = self.org, self.r
        people = r.sample(o.people, len(o.people))
        n, tries, length = {"e": (r.randint(6, 14), 20, r.uniform(120, 400)), "m": (r.randint(8, 20), 6, r.uniform(500, 1200)),
                            "h": (r.randint(15, 30), 1, r.uniform(900, 2400)), "x": (r.randint(18, 30), 1, r.uniform(6.5, 9.5) * HOUR)}[g]
        targets = people[:n]
        if len(targets) < 10 and g in "hx": tries = 2
        t = r.uniform(o.scored + 60, o.end - length - HOUR)
        c = o.portal.copies[0]
        portal = o.portal_mix != [1, 0, 0] and g != "e" or g == "m"
        uid, unit = (c.uid, c.unit) if portal else r.choice([(33, "cron.service"), (65534, "sshd.service"), (48, "httpd.service"), (o.next_service_uid + 40, "session.scope")])
        source = f"uid:{uid}"
        if not self.free(source, t, t + length): return False
        at = sorted([0, length] + [r.uniform(0, length) for _ in range(len(targets) * tries - 2)])
        for k, x in enumerate(at):
            p = targets[k % len(targets)]
            self.add(t + x, self.key("user", p.id, uid, unit, p.team), "login", ("auth", "auth/portal" if portal else "auth/peer"), "denied", pid=self.pid(), bad=True)
        actors = [source, f"unit:{unit}"] + ([o.portal.id] if portal else []) + [p.id for p in targets]
        return self.done("denied_burst", t, t + length, actors, f"{len(at)} refused log-ins over {len(targets)} identities", g)

    def stolen_token(self, g):
        o, r = self.org, self.r
        n, length = {"e": (r.randint(8, 20), 200), "m": (r.randint(4, 10), 280), "h": (r.randint(2, 4), 150), "x": (r.randint(3, 6), 800)}[g]
        if g == "m" or g == "x" and r.random() < 0.3:
            m = self.moment(self.staff(), length)
            if not m: return False
            who, t, (_, _, tok, _, key) = m
            thief = r.choice([p for p in self.staff() if p is not who])
            kind, uid, unit = "user", thief.uid, "session.scope"
            if g == "x": uid, unit = json.loads(self.actors[key])["uid"], json.loads(self.actors[key])["unit"]
        else:
            m = self.service_moment(self.workers(), length)
            if not m: return False
            who, t = m
            c = r.choice(who.copies)
            tok, kind = c.at(t)[2], "service"
            uid, unit = {"e": r.choice([(33, "www-data.service"), (65534, "nobody.service"), (r.choice(self.staff()).uid, "session.scope")]),
                         "h": (c.uid, r.choice(["session.scope", "run-u99.service", "cron.service"])), "x": (c.uid, c.unit)}[g]
        pid = self.pid()
        last = self.run(t, length, r.choices(who.secrets, k=n), self.key(kind, who.id, uid, unit, who.team), tok, pid, lambda s: True)
        return self.done("stolen_token", t, last, [who.id], f"token of {who.id[:40]} presented by uid {uid} in {unit}, process {pid}", g)

    def intrude(self, kind, p, t, n, length, note, g):
        """A log-in with the identity's own credentials, then n reads."""
        if not (self.org.scored < t < self.org.end - length - 900 and self.free(p.id, t - 600, t + length + 600)): return False
        (key, how), tok, pid = self.person_key(p), self.token(), self.pid()
        self.add(t, key, "login", ("auth", how), tok=tok, pid=pid, bad=True)
        last = self.run(t + self.r.uniform(10, 60), length, self.r.choices(p.secrets, k=n), key, tok, pid, lambda s: self.may(p, s))
        return self.done(kind, t, last, [p.id], note, g)

    def off_hours_access(self, g):
        o, r = self.org, self.r
        people = [p for p in self.staff() if not p.oncall and not p.night and p.first_day == 0]
        if not people: return False
        p, d = r.choice(people), r.randint(o.learning, o.days - 2)
        if any(a - 1 <= d <= b for a, b in p.leaves): return False
        if g == "m":
            if o.weekday(d) not in p.off or p.saturday and o.weekday(d) == 5 or any(d <= s[0] / DAY < d + 1 for s in p.sessions): return False
            return self.intrude("off_hours_access", p, d * DAY + r.uniform(9, 17) * HOUR, r.randint(5, 9), 300, "weekend", g)
        hour, n, length, note = {"e": (r.uniform(0.5, 3.5), r.randint(8, 15), 600, "deep night"), "h": (r.uniform(3, 5.3), 3, 100, "before dawn, few reads"),
                                 "x": (r.uniform(0.3, 2), 1, 5, "one read after midnight")}[g]
        return self.intrude("off_hours_access", p, d * DAY + hour * HOUR, n, length, note, g)

    def dormant_account(self, g):
        o, r = self.org, self.r
        pool = [x for x in (o.asleep if g == "x" else o.dormant) if x.id not in self.spent] or [x for x in o.dormant + o.asleep if x.id not in self.spent]
        if not pool: return False
        x, d = r.choice(pool), r.choice(self.work_days(o.learning, o.days))
        t = d * DAY + r.uniform(o.opens + 1, o.closes - 1) * HOUR
        note = f"last seen {self.silence(x)} days before the stream"
        if x.kind == "user":
            if g == "h" and r.random() < 0.3:
                for k in range(2): self.add(t + 20 * k, self.person_key(x)[0], "login", ("auth", "auth/peer"), "denied", pid=self.pid(), bad=True)
                ok = self.done("dormant_account", t, t + 20, [x.id], note + ", refused", g)
            else: ok = self.intrude("dormant_account", x, t, {"e": 9, "m": 5, "h": 2, "x": 1}[g], {"e": 500, "m": 450, "h": 40, "x": 10}[g], note, g)
        else:
            key, tok, pid = self.copy_key(x, x.copies[0]), self.token(), self.pid()
            self.add(t, key, "login", ("auth", "auth/peer"), tok=tok, pid=pid, bad=True)
            ok = self.done("dormant_account", t, self.run(t + 4, 10, x.secrets[:1], key, tok, pid, lambda s: True), [x.id], note, g)
        if ok: self.spent[x.id] = True
        return ok

    def silence(self, x):
        return 45 + (sum(map(ord, x.id)) * 37 + self.org.seed * 11) % 330

    def first_sensitive_access(self, g):
        o, r = self.org, self.r
        people = o.admins if g == "x" and r.random() < 0.6 else [p for p in self.staff() if not p.admin]
        m = self.moment(people, 300)
        if not m: return False
        p, t, (_, _, tok, pid, key) = m
        known = p.secrets + [s for _, s in p.grants]
        pool = [s for s in o.sensitive if s not in known and self.may(p, s) == (g in "hx")] or [s for s in o.sensitive if s not in known]
        last = self.run(t, 250, r.sample(pool, min(len(pool), {"e": 3, "m": 2}.get(g, 1))), key, tok, pid, lambda s: g != "e")
        return self.done("first_sensitive_access", t, last, [p.id], "a sensitive role this person never used", g)

    def privilege_escalation(self, g):
        o, r = self.org, self.r
        techs = [p for p in self.staff() if p.team == o.tech and not p.admin] or o.admins
        people = {"e": [p for p in self.staff() if p.team != o.tech], "m": techs}.get(g, o.admins) or techs
        m = self.moment(people, 300 if g in "emh" else 60)
        if not m: return False
        p, t, (_, _, tok, pid, key) = m
        if g in "em":
            pool = [s for s in o.sensitive if s not in p.secrets and not self.may(p, s)]
            self.add(t, key, "policy_write", ("sys", f"sys/policy/{p.id}"), tok=tok, pid=pid, bad=True)
            last = self.run(t + r.uniform(20, 200), 120, r.sample(pool, min(len(pool), 4 if g == "e" else 2)), key, tok, pid, lambda s: True)
            if r.random() < 0.3:
                self.add(last + 30, key, "policy_write", ("sys", f"sys/policy/{p.id}"), tok=tok, pid=pid, bad=True)
                last += 30
            return self.done("privilege_escalation", t, last, [p.id], "self-grant by an ordinary user" if g == "e" else "self-grant by a technician", g)
        q = r.choice([x for x in self.staff() if x is not p and x.team != o.tech] or [x for x in self.staff() if x is not p])
        pool = [s for s in o.sensitive if s not in q.secrets and not self.may(q, s)]
        wait = r.uniform(40, 90) if g == "h" else r.uniform(1200, 7200)
        if not pool or not self.free(q.id, t - 600, t + wait + 900): return False
        if g == "h":
            self.add(t, key, "policy_write", ("sys", f"sys/policy/{q.id}"), tok=tok, pid=pid, bad=True)
            (k2, how), tok2, pid2 = self.person_key(q), self.token(), self.pid()
            self.add(t + wait, k2, "login", ("auth", how), tok=tok2, pid=pid2, bad=True)
            last = self.run(t + wait + 15, 60, r.sample(pool, min(2, len(pool))), k2, tok2, pid2, lambda s: True) + r.uniform(20, 60)
            self.add(last, key, "policy_write", ("sys", f"sys/policy/{q.id}"), tok=tok, pid=pid, bad=True)
            return self.done("privilege_escalation", t, last, [q.id, p.id], "grant to an outsider, used at once, then removed", g)
        live = [s for s in q.sessions if s[0] < t + wait < s[1]]
        if not live: return False
        self.add(t, key, "policy_write", ("sys", f"sys/policy/equipe-{q.team}"), tok=tok, pid=pid, bad=True)
        self.add(t + wait, live[0][4], "read", r.choice(pool), "ok", live[0][2], live[0][3], True)
        return self.done("privilege_escalation", t, t + wait, [q.id, p.id], "a whole team's policy widened, then one sensitive read", g)

    def rate_spike(self, g):
        r, length = self.r, {"e": 1500, "m": 1500, "h": 2700, "x": 7200}[g]
        if g == "m":
            m = self.moment([p for p in self.staff() if len(p.secrets) > 3], length)
            if not m: return False
            who, t, (_, _, tok, pid, key) = m
            base, secrets = 0, r.sample(who.secrets, r.randint(3, 5))
        else:
            m = self.service_moment([s for s in self.workers() if s.mode == "volume" or g != "x"], length)
            if not m: return False
            who, t = m
            _, _, tok, pid, key = r.choice(who.copies).at(t)
            if who.mode == "poll": base = len(who.secrets) * length / who.period
            else:
                weights = WEIGHTS_DAY[who.curve]
                base = who.rate * max(weights[int(t % DAY // HOUR)], sum(weights) / 48) / sum(weights) * length / HOUR
            if g == "x" and base < 12: return False
            secrets = who.secrets
        n = round({"e": max(250, base * r.uniform(25, 50)), "m": r.randint(110, 200), "h": max(90, base * r.uniform(7, 12)), "x": base * r.uniform(2.6, 4)}[g])
        if n > 6000: return False
        last = self.run(t, length, r.choices(secrets, k=n), key, tok, pid, lambda s: True)
        return self.done("rate_spike", t, last, [who.id], f"{n} reads of usual secrets in {length} s", g)

    def silent_death(self, g):
        o, r = self.org, self.r
        if g == "e": pool = [s for s in self.workers() if s.hours == (0, 24) and s.weekend and (s.period <= 3600 if s.mode == "poll" else s.curve == "flat" and s.rate > 150)]
        else: pool = [s for s in o.services if (s.mode == "rotator") == (g != "m" or r.random() < 0.2) and any(x[1] <= DAY for x in s.rotations)]
        length = {"e": r.uniform(8, 14) if pool else 33, "m": r.uniform(30, 40), "h": r.uniform(28, 34), "x": r.uniform(44, 54)}[g] * HOUR
        m = self.service_moment(pool or [s for s in o.services if any(x[1] <= DAY for x in s.rotations)], length, g == "e" and bool(pool))
        if not m: return False
        s, t = m
        if g == "e" and pool:
            self.mutes.append((s.id, None, None, t, t + length))
            note = "all events stop"
        else:
            p, period, at = r.choice([x for x in s.rotations if x[1] <= DAY])
            t = (t - at) // period * period + at - r.uniform(300, 3000)
            if t < o.scored + HOUR: return False
            self.mutes.append((s.id, "rotate", p if g == "x" else None, t, t + length))
            note = "one secret is no longer rotated" if g == "x" else "rotations stop, the rest goes on"
        self.window("silent_death", t, t + length, [s.id], note, g)
        return True

    def audit_tampering(self, g):
        o, r = self.org, self.r
        if g in "hx":
            t = r.uniform(o.scored + HOUR, o.end - HOUR)
            if not self.free("*", t - HOUR, t + HOUR): return False
            self.holes.append((t, r.randint(5, 40) if g == "h" else 1, g))
            self.busy.setdefault("*", []).append((t, t))
            return True
        m = self.moment([p for p in self.staff() if not p.admin or g == "m"], 200)
        if not m: return False
        p, t, (_, _, tok, pid, key) = m
        steps = ["audit_write", "delete", "audit_write"] if g == "e" else [r.choice(["audit_write", "audit_write", "delete"])]
        for k, op in enumerate(steps):
            last = t + k * r.uniform(20, 50)
            self.add(last, key, op, ("sys", "sys/audit/segment" if op == "delete" else "sys/audit/config"), "denied" if g == "e" else "ok", tok, pid, True)
        return self.done("audit_tampering", t, last, [p.id], "writes to the audit configuration" if steps[0] == "audit_write" else "deletion in the audit log", g)

    def new_service_fanout(self, g):
        o, r = self.org, self.r
        n, length = {"e": (r.randint(22, 36), 120), "m": (r.randint(15, 20), 320), "h": (r.randint(10, 14), 800), "x": (r.randint(6, 8), r.uniform(1.1, 1.8) * HOUR)}[g]
        d = r.choice(self.work_days(o.learning, o.days - 1))
        sid, team = o.service_id(f"{r.choice(['maj', 'agent', 'outil', 'appli'])}-{r.getrandbits(16):04x}"), r.choice(list(o.rights))
        at = d * DAY + (r.uniform(0, 23) if g == "e" else r.uniform(o.opens + 1, o.closes - 2.2)) * HOUR
        if g != "e": at = self.admin_does(d, at % DAY / HOUR, "identity_write", f"sys/identity/{sid}", [("policy_write", f"sys/policy/{sid}")] if r.random() < 0.4 else [])[0] + r.uniform(200, 400)
        key, tok, pid = self.key("service", sid, o.new_uid(), f"{sid.strip('@.')}.service", team), self.token(), self.pid()
        at = max(at, o.scored + 60)
        self.add(at, key, "login", ("auth", "auth/peer"), tok=tok, pid=pid, bad=True)
        refused = {s: g != "x" and r.random() < 0.45 for s in o.secrets}
        last = self.run(at + r.uniform(5, 40), length, r.sample(o.secrets, n), key, tok, pid, lambda s: not refused[s])
        return self.done("new_service_fanout", at, last, [sid], f"{n} secrets over many connectors in its first minutes", g)

    # ---- output ----
    def stamp(self, t):
        sec = int(t)
        return f"{dt.datetime.fromtimestamp(self.org.epoch + sec, dt.timezone.utc):%Y-%m-%dT%H:%M:%S}.{min(999999999, int((t - sec) * 1e9)):09d}Z"

    def finish(self):
        """Removes what silences and holes remove; numbers the records. Returns the rows with their numbers."""
        ids = [json.loads(a)["id"] for a in self.actors]
        muted = {}
        for m in self.mutes: muted.setdefault(m[0], []).append(m)
        rows = []
        for e in self.events:
            if not 0 <= e[0] < self.org.end: continue
            if ids[e[1]] in muted and not e[9] and any(a <= e[0] <= b and (op is None or op == e[2] and (s is None or s == e[3])) for _, op, s, a, b in muted[ids[e[1]]]): continue
            rows.append(e)
        rows.sort(key=lambda e: e[0])
        times, gone = [e[0] for e in rows], {}
        for t, n, g in self.holes:
            k = bisect.bisect(times, t)
            while any(e[9] or e[2] not in ("read", "list", "renew", "heartbeat", "revoke") for e in rows[k:k + n]) or any(x in gone for x in range(k - 1, k + n + 1)): k -= 1
            for x in range(k, k + n): gone[x] = True
            self.window("audit_tampering", times[k - 1] - self.r.uniform(0, 30), times[k + n] + 560, ["*"], "sequence numbers missing", g)
        return [(k, e) for k, e in enumerate(rows) if k not in gone]

    def write(self, prefix):
        o, rows, secrets = self.org, self.finish(), {}
        text = lambda x: json.dumps(x, ensure_ascii=False)
        with open(prefix + ".jsonl", "w", encoding="utf-8") as f:
            for seq, (t, key, op, s, outcome, us, tok, lease, pid, _) in rows:
                place = secrets.get(s) or secrets.setdefault(s, f'"connector": {text(s[0])}, "path": {text(s[1])}')
                f.write(f'{{"time": "{self.stamp(t)}", "seq": {seq}, "actor": {self.actors[key]}, "operation": "{op}", {place}, "outcome": "{outcome}", '
                        f'"latency_us": {us}, "token_accessor": "{tok}", "lease_id": "{lease}", "client_pid": {pid}}}\n')
        self.windows.sort(key=lambda w: w["start"])
        for k, w in enumerate(self.windows):
            w.update(start=self.stamp(w["start"]), end=self.stamp(min(w["end"], o.end)), id=f"w{k:03d}")
        labels = {"seed": o.seed, "days": o.days, "begin": self.stamp(0), "scored_from": self.stamp(o.scored), "end": self.stamp(o.end), "timezone": o.zone,
                  "weekend": ["friday", "saturday"], "windows": self.windows}
        actors = []
        for x in o.people + [s for s in o.services if not s.first_time] + [o.portal] + o.asleep:
            uid, unit = (x.uid, x.unit) if x.kind == "user" else (x.copies[0].uid, x.copies[0].unit)
            quiet = self.silence(x) if x.dormant else 1
            actors.append({"id": x.id, "kind": x.kind, "uid": uid, "unit": unit, "teams": [x.team],
                           "created": str(o.date - dt.timedelta(days=390 + self.silence(x))), "last_seen": str(o.date - dt.timedelta(days=quiet))})
        place = lambda s: {"connector": s[0], "path": s[1]}
        context = {"timezone": o.zone, "weekend": ["friday", "saturday"], "actors": actors, "secrets": [{**place(s), "sensitive": s in o.sensitive} for s in o.secrets],
                   "teams": {t: [place(s) for s in own] for t, own in o.rights.items()}}
        for name, value in (("labels", labels), ("context", context)):
            with open(f"{prefix}.{name}.json", "w", encoding="utf-8") as f: json.dump(value, f, ensure_ascii=False, indent=1)
        return len(rows)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("seed", 1), ("days", 45), ("learning", 14), ("people", 25), ("services", 14)): ap.add_argument(f"--{name}", type=int, default=default)
    ap.add_argument("--out", required=True, help="prefix of the three files")
    ap.add_argument("--rate", type=float, default=0, help="events a day without heartbeats (default: drawn from the seed)")
    ap.add_argument("--hostile", action="store_true", help="always use hostile names (otherwise in some seeds only)")
    a = ap.parse_args()
    if a.people < 6 or a.services < 6 or not 3 <= a.learning < a.days - 2: ap.error("at least 6 people, 6 services, 3 days of learning and 3 scored days")
    stream = Stream(Organisation(a))
    stream.plan()
    stream.simulate_people()
    stream.simulate_services()
    stream.attack()
    n = stream.write(a.out)
    attacks = sum(not w["benign"] for w in stream.windows)
    print(f"{a.out}: {n} events, {attacks} attacks, {len(stream.windows) - attacks} look-alikes over {a.days - a.learning} scored days", file=sys.stderr)


if __name__ == "__main__":
    main()
