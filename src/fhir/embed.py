#!/usr/bin/python3
"""Turns the tables of FHIR's definitions (r4/*.tsv) into one C file.

    embed.py FOLDER OUTPUT

The format of the tables is told in tools/fhir_tables.py, the structures in definitions_data.h. Every type gets all its
elements here, those of its bases first and a choice written out (valueString, valueQuantity, ...), and a hash
table finds an element by type and JSON name.
"""
import sys
from pathlib import Path

KINDS = {"primitive": "FHIR_PRIMITIVE", "complex": "FHIR_COMPLEX", "resource": "FHIR_RESOURCE", "backbone": "FHIR_BACKBONE"}
SEARCH_TYPES = ("number", "date", "string", "token", "reference", "composite", "quantity", "uri", "special")
# In the order of enum fhir_primitive (definitions.h), which begins with what is none.
PRIMITIVES = ("", "base64Binary", "boolean", "canonical", "code", "date", "dateTime", "decimal", "id", "instant", "integer",
              "markdown", "oid", "positiveInt", "string", "time", "unsignedInt", "uri", "url", "uuid", "xhtml")
FLAGS = {"m": "FHIR_MODIFIER", "s": "FHIR_SUMMARY", "c": "FHIR_CHOICE", "r": "FHIR_REQUIRED_BINDING",
         "x": "FHIR_XML_ATTRIBUTE"}
NONE = 0xFFFF


def rows(path):
    for text in path.read_text().splitlines():
        yield text.split("\t")


def name_hash(type_index, name):
    """FNV-1a, 32 bits, begun with the type: definitions.c computes the same."""
    value = (2166136261 ^ type_index) * 16777619 & 0xFFFFFFFF
    for byte in name.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value ^ value >> 15


class Strings:
    """All texts, one after another, each once."""

    def __init__(self):
        self.at, self.text = {}, bytearray()

    def add(self, text):
        if text not in self.at:
            self.at[text] = len(self.text)
            self.text += text.encode()
        return f"{{{self.at[text]}, {len(text.encode())}}}"


class Type:
    def __init__(self, index, name, kind, base):
        self.index, self.name, self.kind, self.base = index, name, kind, base
        self.elements, self.invariants = [], []


class Element:
    def __init__(self, name, least, most, flags, types, binding=""):
        self.name, self.least, self.most, self.flags, self.binding = name, least, most, flags, binding
        self.types = [self.part(t) for t in types.split()]
        self.invariants = []

    @staticmethod
    def part(text):
        name, _, targets = text.rstrip(")").partition("(")
        return name, targets.split(",") if targets else []


def read_types(path):
    types, current, owner = {}, None, None
    for word in rows(path):
        if word[0] == "T":
            current = owner = types[word[1]] = Type(len(types), *word[1:])
        elif word[0] == "E":
            owner = Element(*word[1:])
            current.elements.append(owner)
        else:
            owner.invariants.append(word[1:])
    return types


class Tables:
    def __init__(self, folder):
        self.strings = Strings()
        self.types = read_types(folder / "types.tsv")
        self.value_sets, self.codes = {}, []
        self.targets, self.target_lists = [], {}
        self.element_rows, self.invariant_rows, self.slots = [], [], []
        self.read_codes(folder / "codes.tsv")
        self.type_rows = [self.type_row(t) for t in self.types.values()]
        self.search_rows, self.search_bases, self.component_rows = [], [], []
        self.read_search(folder / "search.tsv")
        self.compartment_rows = [self.compartment_row(*w[1:]) for w in rows(folder / "compartments.tsv")]

    # ---- codes

    def read_codes(self, path):
        current = None
        for word in rows(path):
            if word[0] == "V":
                current = self.value_sets[word[1]] = [len(self.value_sets), []]
            else:
                current[1].append((word[1], word[2]))

    def value_set_rows(self):
        found, first = [], 0
        for url, (_, codes) in self.value_sets.items():
            codes.sort(key=lambda pair: (pair[1].encode(), pair[0]))
            found.append(f"{{{self.strings.add(url)}, {first}, {len(codes)}}}")
            self.codes += [f"{{{self.strings.add(s)}, {self.strings.add(c)}}}" for s, c in codes]
            first += len(codes)
        return found

    # ---- types

    def bases(self, kind):
        """The type and what it builds on, the most general first."""
        chain = []
        while kind:
            chain.insert(0, kind)
            kind = self.types.get(kind.base)
        return chain

    def target_list(self, names):
        key = tuple(names)
        if key not in self.target_lists:
            self.target_lists[key] = len(self.targets)
            self.targets += [self.types[n].index for n in names if n in self.types]
        return self.target_lists[key], len([n for n in names if n in self.types])

    def variants(self, element):
        """(name in JSON, type, targets), for each type of a choice."""
        if "c" not in element.flags:
            name, targets = element.types[0][0], [t for _, part in element.types for t in part]
            return [(element.name, name, targets)]
        return [(element.name + name[0].upper() + name[1:], name, targets) for name, targets in element.types]

    def flags(self, element, owner):
        names = [FLAGS[f] for f in element.flags if f in FLAGS]
        names += [FLAGS["r"]] if element.binding.startswith("r:") else []
        is_attribute = element.name == "id" and owner.name == "Element" or (owner.name, element.name) == ("Extension", "url")
        return " | ".join(names + ([FLAGS["x"]] if is_attribute else [])) or "0"

    def add_invariants(self, owner):
        first = len(self.invariant_rows)
        for key, severity, expression in owner.invariants:
            is_error = "true" if severity == "error" else "false"
            self.invariant_rows.append(f"{{{self.strings.add(key)}, {self.strings.add(expression)}, {is_error}}}")
        return first, len(self.invariant_rows) - first

    def add_elements(self, kind):
        first = len(self.element_rows)
        for owner in self.bases(kind):
            for element in owner.elements:
                group = len(self.element_rows)
                invariants = self.add_invariants(element)
                url = element.binding[2:]
                value_set = self.value_sets[url][0] if url in self.value_sets else NONE
                for name, of, targets in self.variants(element):
                    if of not in self.types:
                        sys.exit(f"{kind.name}.{element.name}: no type {of}")
                    target = self.target_list(targets)
                    self.slots.append((kind.index, name, len(self.element_rows)))
                    self.element_rows.append(
                        f"{{{self.strings.add(name)}, {self.strings.add(element.name)}, {kind.index}, {self.types[of].index}, "
                        f"{group}, {target[0]}, {target[1]}, {value_set}, {invariants[0]}, {invariants[1]}, {element.least}, "
                        f"{element.most}, {self.flags(element, owner)}}}")
        return first, len(self.element_rows) - first

    def type_row(self, kind):
        invariants, elements = self.add_invariants(kind), self.add_elements(kind)
        base = self.types[kind.base].index if kind.base in self.types else NONE
        primitive = PRIMITIVES.index(kind.name) if kind.kind == "primitive" else 0
        return (f"{{{self.strings.add(kind.name)}, {KINDS[kind.kind]}, {primitive}, {base}, {elements[0]}, {elements[1]}, "
                f"{invariants[0]}, {invariants[1]}}}")

    # ---- search

    def read_search(self, path):
        for word in rows(path):
            code, kind, bases, expression, targets, *components = (word[1:] + [""] * 5)[:max(5, len(word) - 1)]
            first = len(self.component_rows)
            for component in filter(None, components):
                name, _, inner = component.partition("=")
                self.component_rows.append(f"{{{self.strings.add(name)}, {self.strings.add(inner)}}}")
            target = self.target_list(targets.split())
            row = len(self.search_rows)
            for base in bases.split():
                if base in self.types:
                    self.search_bases.append((self.types[base].index, code, row))
            self.search_rows.append(
                f"{{{self.strings.add(code)}, FHIR_SEARCH_{kind.upper()}, {self.strings.add(expression)}, {target[0]}, "
                f"{target[1]}, {first}, {len(self.component_rows) - first}}}")

    def compartment_row(self, compartment, resource, parameters):
        return (f"{{{self.types[compartment].index}, {self.types[resource].index}, "
                f"{self.strings.add(parameters)}}}")

    # ---- hash tables

    @staticmethod
    def hashed(entries):
        """Open addressing, at most half full."""
        size = 1
        while size < 2 * len(entries):
            size *= 2
        table = [NONE] * size
        for key, name, value in entries:
            at = name_hash(key, name) % size
            while table[at] != NONE:
                at = (at + 1) % size
            table[at] = value
        return table


def array(kind, name, items, per_line=1):
    lines = [", ".join(str(i) for i in items[at:at + per_line]) for at in range(0, len(items), per_line)]
    return f"const {kind} {name}[{len(items)}] = {{\n" + ",\n".join(lines) + "\n};\n\n"


def text_array(name, data):
    return array("char", name, [b if b < 128 else b - 256 for b in data], 32)


def main(folder, output):
    tables = Tables(Path(folder))
    value_sets = tables.value_set_rows()
    types_by_name = [(0, t.name, t.index) for t in tables.types.values()]
    search = sorted(tables.search_bases, key=lambda b: (b[0], b[1].encode()))
    bases = [f"{{{kind}, {row}}}" for kind, _, row in search]
    parts = [
        '/* Made by embed.py. */\n#include "fhir/definitions_data.h"\n\n',
        array("struct fhir_type", "fhir_types", tables.type_rows),
        array("struct fhir_element", "fhir_elements", tables.element_rows),
        array("uint16_t", "fhir_targets", tables.targets, 16),
        array("struct fhir_value_set", "fhir_value_sets", value_sets),
        array("struct fhir_code", "fhir_codes", tables.codes),
        array("struct fhir_invariant", "fhir_invariants", tables.invariant_rows),
        array("struct fhir_search_parameter", "fhir_search_parameters", tables.search_rows),
        array("struct fhir_search_component", "fhir_search_components", tables.component_rows),
        array("struct fhir_search_base", "fhir_search_bases", bases),
        array("struct fhir_compartment_row", "fhir_compartments", tables.compartment_rows),
    ]
    hashes = {"fhir_type_slots": tables.hashed(types_by_name), "fhir_element_slots": tables.hashed(tables.slots),
              "fhir_search_slots": tables.hashed([(kind, code, at) for at, (kind, code, _) in enumerate(search)])}
    parts += [array("uint16_t", name, table, 16) for name, table in hashes.items()]
    parts.append(text_array("fhir_text", tables.strings.text))
    counts = {"types": len(tables.type_rows), "elements": len(tables.element_rows), "value_sets": len(value_sets),
              "search_parameters": len(tables.search_rows), "search_bases": len(bases),
              "compartments": len(tables.compartment_rows), "type_slots": len(hashes["fhir_type_slots"]),
              "element_slots": len(hashes["fhir_element_slots"]), "search_slots": len(hashes["fhir_search_slots"])}
    fields = ", ".join(f".{name} = {count}" for name, count in counts.items())
    parts.append(f"const struct fhir_counts fhir_counts = {{{fields}}};\n")
    if len(tables.element_rows) >= NONE or len(tables.search_bases) >= NONE:
        sys.exit("more rows than 16 bits count")
    Path(output).write_text("".join(parts))


if __name__ == "__main__":
    main(*sys.argv[1:])
