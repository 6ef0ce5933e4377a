"""What the firewalls are measured with: made here, from a seed, and from nobody's data.

Bundles look like a patient's file of a general practice: nested objects, many short codes, dates and references, some
lines of Dutch free text. In the attack bundle every free text is an injection.
"""
import json
import random

SEED = 20_261_122
NOTES = ["geen suicidale gedachten; start sertraline 50 mg", "nuchter; print formulier", "RR 145/85, pols 72 regulair",
         "S: hoest sinds 3 dagen, geen koorts. O: longen schoon. E: bovenste luchtweginfectie. P: afwachten",
         "Patiënt belt: uitslag lab besproken, HbA1c 53 mmol/mol", "herhaalrecept metformine 500 mg 2dd1",
         "verwezen naar cardioloog i.v.m. pijn op de borst bij inspanning", "allergie: penicilline (huiduitslag)",
         "Mw. de Vries-Jansen komt met dochter; maakt zich zorgen over geheugen", "controle over 6 weken, eerder bij klachten"]
ATTACKS = ["<script>alert(document.cookie)</script>", "1' OR '1'='1' -- ", "1 UNION SELECT username, password FROM users",
           "; cat /etc/passwd", "../../../../etc/shadow", "<img src=x onerror=alert(1)>", "${jndi:ldap://x.example/a}",
           "<?php system($_GET['c']); ?>", "'; DROP TABLE patient; --", "javascript:alert(1)"]
FAMILY = ["de Vries", "Jansen", "van den Berg", "Bakker", "Visser", "Smit", "Meijer", "Mulder"]
GIVEN = ["Anna", "Johannes", "Maria", "Pieter", "Fatima", "Sven", "Yasmin", "Kees"]


class Maker:
    def __init__(self, texts):
        self.r, self.texts = random.Random(SEED), texts

    def uuid(self):
        return "-".join(f"{self.r.getrandbits(4 * n):0{n}x}" for n in (8, 4, 4, 4, 12))

    def date(self):
        return f"20{self.r.randrange(10, 26)}-{self.r.randrange(1, 13):02}-{self.r.randrange(1, 29):02}"

    def coding(self, system, codes):
        return {"coding": [{"system": system, "code": self.r.choice(codes), "display": self.r.choice(self.texts)[:40]}]}

    def patient(self):
        return {"resourceType": "Patient", "id": self.uuid(), "active": True, "gender": self.r.choice(["male", "female"]),
                "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": f"{self.r.randrange(10**8, 10**9)}"}],
                "name": [{"use": "official", "family": self.r.choice(FAMILY), "given": [self.r.choice(GIVEN)]}],
                "birthDate": self.date(),
                "address": [{"line": ["Dorpsstraat 1"], "city": "Zwolle", "postalCode": "8011 AA", "country": "NL"}]}

    def observation(self):
        return {"resourceType": "Observation", "id": self.uuid(), "status": "final",
                "code": self.coding("http://loinc.org", ["8480-6", "8462-4", "29463-7", "4548-4"]),
                "subject": {"reference": f"Patient/{self.uuid()}"}, "effectiveDateTime": self.date() + "T09:30:00+01:00",
                "valueQuantity": {"value": round(self.r.uniform(1, 200), 1), "unit": "mmHg",
                                  "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}}

    def condition(self):
        return {"resourceType": "Condition", "id": self.uuid(), "recordedDate": self.date(),
                "clinicalStatus": self.coding("http://terminology.hl7.org/CodeSystem/condition-clinical", ["active", "resolved"]),
                "code": self.coding("http://hl7.org/fhir/sid/icpc-1-nl", ["R74", "K86", "T90.02", "P76"]),
                "subject": {"reference": f"Patient/{self.uuid()}"}, "note": [{"text": self.r.choice(self.texts)}]}

    def medication(self):
        return {"resourceType": "MedicationRequest", "id": self.uuid(), "status": "active", "intent": "order",
                "medicationCodeableConcept": self.coding("urn:oid:2.16.840.1.113883.2.4.4.10", ["67903", "2194", "10529"]),
                "subject": {"reference": f"Patient/{self.uuid()}"}, "authoredOn": self.date(),
                "dosageInstruction": [{"text": self.r.choice(self.texts), "asNeededBoolean": False,
                                       "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}}}]}

    def bundle(self, size):
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": []}
        text = b""
        while len(text) < size:
            resource = self.r.choice([self.patient, self.observation, self.observation, self.condition, self.medication])()
            bundle["entry"].append({"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource,
                                    "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}})
            text = json.dumps(bundle, ensure_ascii=False, separators=(",", ":")).encode()
        return text

    def letter(self, size):
        lines = ["Geachte collega,", ""]
        while sum(len(line.encode()) + 1 for line in lines) < size:
            lines.append(" ".join(self.r.choice(self.texts) + "." for _ in range(3)))
        return "\n".join(lines).encode()[:size]

    def form(self, size):
        fields = []
        while len("&".join(fields)) < size:
            text = self.r.choice(self.texts)
            value = "".join(c if c.isalnum() and c.isascii() else "+" if c == " " else "".join(f"%{b:02X}" for b in c.encode())
                            for c in text)
            fields.append(f"veld{len(fields)}={value}")
        return "&".join(fields)[:size].rstrip("%").encode()


def ten_arguments():
    return "/zoeken?naam=de+Vries&geboren=1961-04-12&plaats=Zwolle&postcode=8011AA&praktijk=noord&pagina=2&sorteer=datum" \
           "&richting=af&aantal=25&sessie=3f2c9a"
