#!/usr/bin/python3
"""Makes the sample clusters: for each a folder of NDJSON, one file for each resource type.

    tools/sample/make.py FOLDER [--patients N] [--years N] [--seed N] [--until YYYY-MM-DD] [--cluster NAME]

The same arguments give the same bytes. Files are in an order in which references point back: organisations and
people first. `polder records load` reads them. BSNs come from the range for tests (999...) and pass the
eleven-test.
"""
import argparse
import datetime
import itertools
import json
import random
import sys
from pathlib import Path

from tables import ALLERGIES, CLUSTERS, FAMILY, FEMALE, LASTING, MALE, MEASURES, MEDICINES, PASSING, STREETS

BSN = "http://fhir.nl/fhir/NamingSystem/bsn"
AGB = "http://fhir.nl/fhir/NamingSystem/agb-z"
UZI = "http://fhir.nl/fhir/NamingSystem/uzi-nr-pers"
ICPC = "http://hl7.org/fhir/sid/icpc-1-nl"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
ATC = "http://www.whocc.no/atc"
TYPES = ["Organization", "Practitioner", "PractitionerRole", "Patient", "AllergyIntolerance", "Condition", "EpisodeOfCare",
         "Encounter", "Observation", "Composition", "MedicationRequest", "MedicationDispense", "Immunization",
         "DocumentReference"]


def bsns():
    """Test BSNs that pass the eleven-test (9a + 8b + ... + 2h - i is a multiple of 11), in order."""
    for at in range(999_000_000, 1_000_000_000):
        if sum(int(d) * w for d, w in zip(str(at), (9, 8, 7, 6, 5, 4, 3, 2, -1))) % 11 == 0:
            yield str(at)


def concept(system, code, text):
    return {"coding": [{"system": system, "code": code, "display": text}], "text": text}


def to(kind, id, display=None):
    reference = {"reference": f"{kind}/{id}"}
    return dict(reference, display=display) if display else reference


class Cluster:
    """Writes one cluster. Every resource gets an id that says whose it is: loading twice changes nothing."""

    def __init__(self, name, folder, options):
        self.name, self.about = name, CLUSTERS[name]
        self.random = random.Random(f"{options.seed} {name}")
        self.until = options.until
        self.begin = options.until - datetime.timedelta(days=int(365.25 * options.years))
        self.patients = options.patients
        self.files = {}
        folder.mkdir(parents=True, exist_ok=True)
        for number, kind in enumerate(TYPES):
            self.files[kind] = open(folder / f"{number:02}-{kind}.ndjson", "w", encoding="utf-8")
        self.counts = dict.fromkeys(TYPES, 0)
        self.doctors = []  # (practice id, practitioner id, name)
        first = 5000 * sorted(CLUSTERS).index(name)
        self.bsns = itertools.islice(bsns(), first, None)

    def put(self, kind, id, **rest):
        json.dump({"resourceType": kind, "id": id, **rest}, self.files[kind], ensure_ascii=False, separators=(",", ":"))
        self.files[kind].write("\n")
        self.counts[kind] += 1

    # ---- who works there

    def organisation(self, id, title, kind, number):
        self.put("Organization", id, identifier=[{"system": AGB, "value": f"{number:08}"}], active=True,
                 type=[concept("http://nictiz.nl/fhir/NamingSystem/organization-type", kind, title)], name=title,
                 telecom=[{"system": "phone", "value": f"{self.about['phone']}{number % 10000:04}"}],
                 address=[{"line": [f"{STREETS[number % len(STREETS)]} {1 + number % 80}"], "city": self.about["place"],
                           "postalCode": f"{self.about['postcode']} AB", "country": "NL"}])

    def person(self, id, family, organisation, role, text, number):
        given = self.random.choice(MALE + FEMALE)
        self.put("Practitioner", id, identifier=[{"system": UZI, "value": f"9{number:08}"},
                                                 {"system": AGB, "value": f"01{number:06}"}],
                 active=True, name=[{"use": "official", "family": family, "given": [given], "prefix": ["drs."]}])
        self.put("PractitionerRole", f"{id}-rol", active=True, practitioner=to("Practitioner", id),
                 organization=to("Organization", organisation),
                 code=[concept("http://fhir.nl/fhir/NamingSystem/uzi-rolcode", role, text)])

    def staff(self):
        number = 1000 if self.name == "noord" else 2000
        for id, title, doctors in self.about["practices"]:
            number += 10
            self.organisation(id, title, "Z3", number)
            for family in doctors:
                number += 1
                key = f"huisarts-{family.lower().replace(' ', '-')}"
                self.person(key, family, id, "01.015", "Huisarts", number)
                self.doctors.append((id, key, f"drs. {family}"))
        id, title, family = self.about["pharmacy"]
        self.organisation(id, title, "J8", number + 10)
        self.person(f"apotheker-{family.lower()}", family, id, "17.000", "Apotheker", number + 11)
        self.pharmacy = id

    # ---- one patient

    def patient(self, number):
        r = self.random
        sex = r.choice(["male", "female"])
        born = self.until - datetime.timedelta(days=int(r.triangular(0, 97, 46) * 365.25))
        family, given = r.choice(FAMILY), r.choice(MALE if sex == "male" else FEMALE)
        practice, doctor, doctor_name = r.choice(self.doctors)
        id = f"{self.name}-{number:04}"
        self.put("Patient", id, identifier=[{"system": BSN, "value": next(self.bsns)}], active=True,
                 name=[{"use": "official", "text": f"{given} {family}", "family": family, "given": [given]}],
                 telecom=[{"system": "phone", "value": f"06-555{r.randrange(100_000):05}", "use": "mobile"}],
                 gender=sex, birthDate=born.isoformat(),
                 address=[{"use": "home", "line": [f"{r.choice(STREETS)} {r.randrange(1, 200)}"], "city": self.about["place"],
                           "postalCode": f"{self.about['postcode']} {r.choice('ABCDEFGHJKLMNPRSTVWXZ')}{r.choice('ABCDEFGHJK')}",
                           "country": "NL"}],
                 generalPractitioner=[to("Practitioner", doctor, doctor_name)],
                 managingOrganization=to("Organization", practice))
        return {"id": id, "born": born, "practice": practice, "doctor": doctor, "doctor_name": doctor_name, "count": 0}

    def next_id(self, patient):
        patient["count"] += 1
        return f"{patient['id']}-{patient['count']:04}"

    def at(self, day):
        hour, minute = self.random.randrange(8, 17), self.random.choice((0, 10, 20, 30, 40, 50))
        offset = "+02:00" if 3 < day.month < 11 else "+01:00"
        return f"{day.isoformat()}T{hour:02}:{minute:02}:00{offset}"

    def episode(self, patient, code, title, since):
        id = self.next_id(patient)
        self.put("Condition", id, clinicalStatus=concept("http://terminology.hl7.org/CodeSystem/condition-clinical",
                                                         "active", "actief"),
                 category=[concept("http://terminology.hl7.org/CodeSystem/condition-category", "problem-list-item",
                                   "probleem")],
                 code=concept(ICPC, code, title), subject=to("Patient", patient["id"]), onsetDateTime=since.isoformat(),
                 recorder=to("Practitioner", patient["doctor"]))
        self.put("EpisodeOfCare", id, status="active", diagnosis=[{"condition": to("Condition", id)}],
                 patient=to("Patient", patient["id"]), managingOrganization=to("Organization", patient["practice"]),
                 period={"start": since.isoformat()})
        return id

    def note(self, patient, when, code, title, episode, encounter, soep):
        names = {"S": "Subjectief", "O": "Objectief", "E": "Evaluatie", "P": "Plan"}
        codes = {"S": "61150-9", "O": "61149-1", "E": "51848-0", "P": "18776-5"}
        section = [{"title": names[k], "code": concept(LOINC, codes[k], names[k]),
                    "text": {"status": "generated",
                             "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>'}} for k, text in soep]
        self.put("Composition", self.next_id(patient), status="final", type=concept(LOINC, "34109-9", "Notitie"),
                 category=[concept(ICPC, code, title)], subject=to("Patient", patient["id"]),
                 encounter=to("Encounter", encounter), date=when, author=[to("Practitioner", patient["doctor"])],
                 title=f"SOEP {title}", custodian=to("Organization", patient["practice"]), section=section)

    def contact(self, patient, day, code, title, episode, soep):
        when, id = self.at(day), self.next_id(patient)
        self.put("Encounter", id, status="finished",
                 **{"class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB",
                              "display": "ambulatory"}},
                 subject=to("Patient", patient["id"]),
                 **({"episodeOfCare": [to("EpisodeOfCare", episode)]} if episode else {}),
                 participant=[{"individual": to("Practitioner", patient["doctor"], patient["doctor_name"])}],
                 period={"start": when}, reasonCode=[concept(ICPC, code, title)],
                 serviceProvider=to("Organization", patient["practice"]))
        self.note(patient, when, code, title, episode, id, soep)
        return when, id

    def measure(self, patient, when, encounter, name):
        r, shared = self.random, {"status": "final", "subject": to("Patient", patient["id"]),
                                  "encounter": to("Encounter", encounter), "effectiveDateTime": when,
                                  "performer": [to("Practitioner", patient["doctor"])]}
        kind = ("laboratory", "Laboratory") if name in ("hba1c", "egfr", "ldl", "tsh") else ("vital-signs", "Vital Signs")
        category = [concept("http://terminology.hl7.org/CodeSystem/observation-category", *kind)]
        if name == "blood-pressure":
            upper = int(min(210, max(95, r.gauss(138, 15))))
            parts = [("8480-6", "Systolische bloeddruk", upper), ("8462-4", "Diastolische bloeddruk", upper - r.randrange(45, 65))]
            self.put("Observation", self.next_id(patient), category=category,
                     code=concept(LOINC, "85354-9", "Bloeddruk"), **shared,
                     component=[{"code": concept(LOINC, code, text),
                                 "valueQuantity": {"value": value, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"}}
                                for code, text, value in parts])
            return
        code, text, unit, ucum, mean, spread, decimals, low, high = MEASURES[name]
        value = round(min(high, max(low, r.gauss(mean, spread))), decimals)
        self.put("Observation", self.next_id(patient), category=category, code=concept(LOINC, code, text), **shared,
                 valueQuantity={"value": value if decimals else int(value), "unit": unit, "system": UCUM, "code": ucum})

    def prescribe(self, patient, when, encounter, name, code, title):
        atc, text, dose, quantity = MEDICINES[name]
        id = self.next_id(patient)
        shared = {"medicationCodeableConcept": concept(ATC, atc, text), "subject": to("Patient", patient["id"])}
        self.put("MedicationRequest", id, status="completed", intent="order", **shared,
                 encounter=to("Encounter", encounter), authoredOn=when, requester=to("Practitioner", patient["doctor"]),
                 reasonCode=[concept(ICPC, code, title)], dosageInstruction=[{"text": dose}],
                 dispenseRequest={"quantity": {"value": quantity}, "performer": to("Organization", self.pharmacy)})
        self.put("MedicationDispense", f"{id}-v", status="completed", **shared,
                 performer=[{"actor": to("Organization", self.pharmacy)}], authorizingPrescription=[to("MedicationRequest", id)],
                 quantity={"value": quantity}, whenHandedOver=when, dosageInstruction=[{"text": dose}])

    def days(self, since, times_a_year):
        """Visits of a lasting condition: evenly, some weeks early or late."""
        day = since
        while True:
            day += datetime.timedelta(days=int(365 / times_a_year * self.random.uniform(0.8, 1.25)))
            if day > self.until:
                return
            if day >= self.begin:
                yield day

    def lasting(self, patient):
        r = self.random
        for code, title, age, share, visits, measures, medicines in LASTING:
            since = patient["born"] + datetime.timedelta(days=int(365.25 * (age + r.random() * 20)))
            if since > self.until or r.random() > share:
                continue
            episode = self.episode(patient, code, title, since)
            for day in self.days(since, visits):
                soep = [("S", "Controle. Geen bijzondere klachten."), ("O", "Zie metingen."), ("E", f"{title}, stabiel."),
                        ("P", "Beleid ongewijzigd, controle volgens afspraak.")]
                when, encounter = self.contact(patient, day, code, title, episode, soep)
                for name in measures:
                    self.measure(patient, when, encounter, name)
                for name in medicines:
                    self.prescribe(patient, when, encounter, name, code, title)

    def passing(self, patient):
        r = self.random
        weights = [row[2] for row in PASSING]
        day = max(self.begin, patient["born"])
        while True:
            day += datetime.timedelta(days=1 + int(r.expovariate(1 / 130)))
            if day > self.until:
                return
            code, title, _, s, o, e, p, medicine, chance = r.choices(PASSING, weights)[0]
            soep = [("S", s.format(n=r.randrange(2, 9))), ("O", o), ("E", e), ("P", p)]
            when, encounter = self.contact(patient, day, code, title, None, soep)
            if medicine and r.random() < chance:
                self.prescribe(patient, when, encounter, medicine, code, title)

    def rest(self, patient):
        r = self.random
        if r.random() < 0.12:
            atc, text, reaction = r.choice(ALLERGIES)
            self.put("AllergyIntolerance", self.next_id(patient),
                     clinicalStatus=concept("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active", "actief"),
                     category=["medication"], code=concept(ATC, atc, text), patient=to("Patient", patient["id"]),
                     reaction=[{"manifestation": [{"text": reaction}]}])
        for year in range(self.begin.year, self.until.year + 1):
            day = datetime.date(year, 10, 10 + number_of(patient) % 20)
            if year - patient["born"].year < 60 or day > self.until or day < self.begin or r.random() > 0.6:
                continue
            self.put("Immunization", self.next_id(patient), status="completed",
                     vaccineCode=concept(ATC, "J07BB02", "Griepvaccin"), patient=to("Patient", patient["id"]),
                     occurrenceDateTime=day.isoformat(), performer=[{"actor": to("Organization", patient["practice"])}])
        if r.random() < 0.3:
            day = self.begin + datetime.timedelta(days=r.randrange((self.until - self.begin).days))
            self.put("DocumentReference", self.next_id(patient), status="current",
                     type=concept(LOINC, "34133-9", "Brief van specialist"), subject=to("Patient", patient["id"]),
                     date=self.at(day), custodian=to("Organization", patient["practice"]), description="Specialistenbrief",
                     content=[{"attachment": {"contentType": "text/plain", "language": "nl", "title": "Brief",
                                              "data": "R2VlbiBhZndpamtpbmdlbiBnZXZvbmRlbi4="}}])

    def write(self):
        self.staff()
        for number in range(self.patients):
            patient = self.patient(number)
            self.lasting(patient)
            self.passing(patient)
            self.rest(patient)
        for file in self.files.values():
            file.close()


def number_of(patient):
    return int(patient["id"].split("-")[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=500, help="of each cluster (500)")
    parser.add_argument("--years", type=float, default=10, help="of contacts before --until (10)")
    parser.add_argument("--seed", default="polder")
    parser.add_argument("--until", type=datetime.date.fromisoformat, default=datetime.date(2026, 11, 1))
    parser.add_argument("--cluster", choices=sorted(CLUSTERS), help="only this one")
    options = parser.parse_args()
    if options.patients < 1 or options.patients > 5000 or options.years <= 0 or options.years > 40:
        parser.error("patients: from 1 to 5000; years: above 0, at most 40")
    for name in [options.cluster] if options.cluster else sorted(CLUSTERS):
        cluster = Cluster(name, options.folder / name, options)
        cluster.write()
        print(f"{name}: {sum(cluster.counts.values())} resources, " +
              ", ".join(f"{n} {kind}" for kind, n in cluster.counts.items()), file=sys.stderr)


if __name__ == "__main__":
    main()
