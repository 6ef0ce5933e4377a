"""What the sample clusters are made of: names, places, complaints and medicines. Nobody in them exists.

Codes are real, so that searches and validation have something to hold on to: ICPC-1 (NHG), LOINC, UCUM, ATC.
"""

# (family name, share)
FAMILY = """de Jong;Jansen;de Vries;van den Berg;Bakker;van Dijk;Visser;Smit;Meijer;de Boer;Mulder;de Groot;Bos;Vos;
Peters;Hendriks;van Leeuwen;Dekker;Brouwer;de Wit;Dijkstra;Smits;de Graaf;van der Meer;Kok;Jacobs;de Haan;
Vermeulen;van der Veen;van den Broek;de Bruijn;van der Heijden;Schouten;van Beek;Willems;van Vliet;Hoekstra;
Maas;Verhoeven;Koster;van Dam;Prins;Blom;Huisman;Postma;Kuipers;Veenstra;Hofstra;Wiersma;Sikkema;Yilmaz;
El Amrani;Nguyen;Kowalski;Singh;Haddad""".replace("\n", "").split(";")

MALE = """Jan;Pieter;Johannes;Willem;Kees;Henk;Hans;Gerrit;Dirk;Sjoerd;Jelle;Bram;Daan;Sem;Lucas;Finn;Noah;Thijs;Ruben;
Mohammed;Ahmet;Wouter;Martijn;Jeroen;Bas;Teun;Wiebe;Rinse;Anton;Cornelis""".replace("\n", "").split(";")
FEMALE = """Maria;Anna;Johanna;Elisabeth;Cornelia;Grietje;Trijntje;Sietske;Femke;Lotte;Emma;Julia;Sophie;Saskia;Ingrid;
Marieke;Linda;Yvonne;Fatima;Aylin;Hanneke;Els;Truus;Willemijn;Nynke;Tess;Fleur;Eva;Noor;Roos""".replace("\n", "").split(";")

STREETS = """Dorpsstraat;Kerkstraat;Molenweg;Schoolstraat;Stationsweg;Beukenlaan;Havenkade;Nieuwe Gracht;Lindenlaan;
Eikenlaan;Brinkweg;Waterkant;Julianastraat;Wilhelminaplein;Zuiderdiep;Noorderkade""".replace("\n", "").split(";")

CLUSTERS = {
    "noord": {
        "title": "Zorgcluster Noord", "place": "Waterdorp", "postcode": 9199, "phone": "058-555",
        "practices": [("huisartsenpraktijk-de-terp", "Huisartsenpraktijk De Terp", ["Hoekstra", "Veenstra"]),
                      ("huisartsenpraktijk-havenzicht", "Huisartsenpraktijk Havenzicht", ["van der Veen", "Postma"])],
        "pharmacy": ("apotheek-de-vijzel", "Apotheek De Vijzel", "Wiersma"),
    },
    "zuid": {
        "title": "Zorgcluster Zuid", "place": "Heuvelen", "postcode": 6299, "phone": "043-555",
        "practices": [("huisartsenpraktijk-de-linde", "Huisartsenpraktijk De Linde", ["Vermeulen", "Maas"]),
                      ("huisartsenpraktijk-bronsweg", "Huisartsenpraktijk Bronsweg", ["Smits", "Jacobs"])],
        "pharmacy": ("apotheek-de-kruidhof", "Apotheek De Kruidhof", "Willems"),
    },
}

# Lasting conditions: ICPC, title, from which age, share of those older, visits a year, measurements, medicines.
LASTING = [
    ("K86", "Essentiële hypertensie zonder orgaanbeschadiging", 45, 0.38, 2, ["blood-pressure", "egfr"],
     ["hydrochlorothiazide", "lisinopril"]),
    ("T90.02", "Diabetes mellitus type 2", 50, 0.14, 4, ["hba1c", "blood-pressure", "weight", "egfr", "ldl"],
     ["metformine"]),
    ("T93", "Vetstofwisselingsstoornis", 50, 0.22, 1, ["ldl"], ["simvastatine"]),
    ("R96", "Astma", 6, 0.07, 1, ["peak-flow"], ["salbutamol", "beclometason"]),
    ("R95", "COPD", 55, 0.07, 2, ["spirometry"], ["tiotropium", "salbutamol"]),
    ("P76", "Depressie", 20, 0.05, 3, [], ["citalopram"]),
    ("T86", "Hypothyreoïdie", 35, 0.05, 1, ["tsh"], ["levothyroxine"]),
    ("K78", "Atriumfibrilleren", 65, 0.10, 2, ["pulse", "blood-pressure"], ["apixaban", "metoprolol"]),
    ("L90", "Gonartrose", 60, 0.16, 1, [], ["paracetamol"]),
]

# Passing complaints: ICPC, title, weight, S, O, E, P, medicine (or None), chance of it.
PASSING = [
    ("R74", "Acute infectie bovenste luchtwegen", 12, "Sinds {n} dagen verkouden en hoest, geen koorts.",
     "Keel licht rood, longen schoon.", "Bovensteluchtweginfectie.", "Uitleg over beloop, vangnetadvies.", "paracetamol", 0.2),
    ("R05", "Hoesten", 8, "Hoest nu {n} dagen, 's nachts erger. Rookt niet.", "Longen: vesiculair ademgeruis.",
     "Hoest, waarschijnlijk viraal.", "Afwachten, terug bij dyspnoe.", None, 0),
    ("U71", "Cystitis", 9, "Pijn bij plassen sinds {n} dagen, kleine beetjes.", "Urine: nitriet positief.",
     "Ongecompliceerde urineweginfectie.", "Ruim drinken, kuur.", "nitrofurantoine", 0.9),
    ("L03", "Lage-rugpijn zonder uitstraling", 10, "Rugpijn na tillen, {n} dagen. Geen uitstraling.",
     "Lumbale spieren gespannen, Lasègue negatief.", "Aspecifieke lage rugpijn.", "In beweging blijven, zo nodig fysiotherapie.",
     "naproxen", 0.4),
    ("S88", "Contacteczeem", 7, "Jeukende plekken aan de handen sinds {n} weken.", "Erytheem en schilfering beide handen.",
     "Contacteczeem.", "Vet houden, prikkels vermijden.", "hydrocortison", 0.7),
    ("H71", "Acute otitis media", 5, "Oorpijn rechts sinds {n} dagen, was koortsig.", "Trommelvlies rood en bomberend.",
     "Otitis media acuta.", "Pijnstilling, beloop uitgelegd.", "amoxicilline", 0.3),
    ("D73", "Gastro-enteritis", 6, "Diarree {n} dagen, geen bloed, plast goed.", "Niet ziek, buik soepel.",
     "Gastro-enteritis.", "ORS bij klachten, hygiëne.", None, 0),
    ("N01", "Hoofdpijn", 6, "Drukkende hoofdpijn, {n} keer per week. Geen misselijkheid.", "Neurologisch geen afwijkingen.",
     "Spanningshoofdpijn.", "Dagboek, ontspanning.", "paracetamol", 0.3),
    ("P06", "Slapeloosheid", 5, "Slaapt slecht in sinds {n} weken, piekert.", "Geen bijzonderheden.", "Inslaapproblemen.",
     "Slaaphygiëne besproken, POH-GGZ aangeboden.", None, 0),
    ("A04", "Moeheid", 6, "Moe sinds {n} weken, eet goed, geen gewichtsverlies.", "Bleek noch icterisch.", "Moeheid.",
     "Bloedonderzoek afgesproken.", None, 0),
    ("S74", "Dermatomycose", 4, "Jeuk tussen de tenen, {n} weken.", "Schilferend, rand actief.", "Tinea pedis.",
     "Crème, voeten droog houden.", "miconazol", 0.8),
    ("L92", "Schoudersyndroom", 4, "Schouderpijn links {n} weken, tillen lukt niet.", "Abductie pijnlijk boven 90 graden.",
     "Subacromiaal pijnsyndroom.", "Oefeningen, evaluatie na zes weken.", "naproxen", 0.4),
]

# name: (ATC, text, dose, daily, days, quantity unit)
MEDICINES = {
    "paracetamol": ("N02BE01", "Paracetamol tablet 500 mg", "zo nodig 4 keer per dag 2 tabletten", 20),
    "hydrochlorothiazide": ("C03AA03", "Hydrochloorthiazide tablet 12,5 mg", "1 keer per dag 1 tablet", 90),
    "lisinopril": ("C09AA03", "Lisinopril tablet 10 mg", "1 keer per dag 1 tablet", 90),
    "metformine": ("A10BA02", "Metformine tablet 500 mg", "2 keer per dag 1 tablet", 180),
    "simvastatine": ("C10AA01", "Simvastatine tablet 40 mg", "1 keer per dag 1 tablet voor de nacht", 90),
    "salbutamol": ("R03AC02", "Salbutamol aerosol 100 ug/dosis", "zo nodig 4 keer per dag 2 inhalaties", 1),
    "beclometason": ("R03BA01", "Beclometason aerosol 100 ug/dosis", "2 keer per dag 1 inhalatie", 1),
    "tiotropium": ("R03BB04", "Tiotropium inhalatiecapsule 18 ug", "1 keer per dag 1 inhalatie", 90),
    "citalopram": ("N06AB04", "Citalopram tablet 20 mg", "1 keer per dag 1 tablet", 90),
    "levothyroxine": ("H03AA01", "Levothyroxine tablet 100 ug", "1 keer per dag 1 tablet nuchter", 90),
    "apixaban": ("B01AF02", "Apixaban tablet 5 mg", "2 keer per dag 1 tablet", 180),
    "metoprolol": ("C07AB02", "Metoprolol retardtablet 50 mg", "1 keer per dag 1 tablet", 90),
    "nitrofurantoine": ("J01XE01", "Nitrofurantoïne capsule mga 100 mg", "2 keer per dag 1 capsule, 5 dagen", 10),
    "naproxen": ("M01AE02", "Naproxen tablet 250 mg", "2 keer per dag 1 tablet bij de maaltijd, 7 dagen", 14),
    "hydrocortison": ("D07AA02", "Hydrocortison crème 10 mg/g", "2 keer per dag dun aanbrengen", 30),
    "amoxicilline": ("J01CA04", "Amoxicilline capsule 500 mg", "3 keer per dag 1 capsule, 7 dagen", 21),
    "miconazol": ("D01AC02", "Miconazol crème 20 mg/g", "2 keer per dag aanbrengen", 30),
}

# name: (LOINC, text, unit, UCUM, mean, spread, decimals, low, high)
MEASURES = {
    "hba1c": ("59261-8", "HbA1c", "mmol/mol", "mmol/mol", 53, 8, 0, 28, 110),
    "egfr": ("62238-1", "eGFR volgens CKD-EPI", "ml/min/1,73 m2", "mL/min/{1.73_m2}", 78, 16, 0, 15, 120),
    "ldl": ("39469-2", "LDL-cholesterol", "mmol/l", "mmol/L", 2.9, 0.7, 1, 0.8, 7.0),
    "weight": ("29463-7", "Lichaamsgewicht", "kg", "kg", 82, 14, 1, 38, 160),
    "tsh": ("14999-3", "TSH", "mU/l", "m[IU]/L", 2.4, 1.1, 2, 0.05, 12),
    "pulse": ("8867-4", "Hartfrequentie", "/min", "/min", 74, 9, 0, 45, 140),
    "peak-flow": ("19935-6", "Piekstroom", "l/min", "L/min", 410, 70, 0, 120, 700),
    "spirometry": ("20150-9", "FEV1", "l", "L", 2.3, 0.6, 2, 0.6, 5.0),
}

ALLERGIES = [("J01CA04", "Amoxicilline", "Huiduitslag"), ("M01AE02", "Naproxen", "Maagklachten"),
             ("J01XE01", "Nitrofurantoïne", "Misselijkheid")]
