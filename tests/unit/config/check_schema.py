"""The JSON Schema that polder-config writes: is it one, and does it agree with the parser about good and bad
files? A validator of just the keywords the schema uses; any other keyword is an error.

    check_schema.py POLDER-CONFIG POLDER.YAML"""
import json
import re
import subprocess
import sys

import yaml

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}
SILENT = {"description", "default", "title", "$schema", "$defs"}


def is_type(value, name):
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


class Validator:
    def __init__(self, schema):
        self.root = schema

    def accepts(self, schema, value):
        return all(getattr(self, "check_" + keyword.strip("$"))(argument, value, schema)
                   for keyword, argument in schema.items() if keyword not in SILENT)

    def check_ref(self, argument, value, schema):
        target = self.root
        for part in argument.removeprefix("#/").split("/"):
            target = target[part]
        return self.accepts(target, value)

    def check_type(self, argument, value, schema):
        return any(is_type(value, name) for name in ([argument] if isinstance(argument, str) else argument))

    def check_enum(self, argument, value, schema):
        return any(value == one and type(value) is type(one) for one in argument)

    def check_pattern(self, argument, value, schema):
        return not isinstance(value, str) or re.search(argument, value) is not None

    def check_maxLength(self, argument, value, schema):
        return not isinstance(value, str) or len(value) <= argument

    def check_minimum(self, argument, value, schema):
        return not is_type(value, "number") or value >= argument

    def check_maximum(self, argument, value, schema):
        return not is_type(value, "number") or value <= argument

    def check_anyOf(self, argument, value, schema):
        return any(self.accepts(one, value) for one in argument)

    def check_oneOf(self, argument, value, schema):
        return sum(self.accepts(one, value) for one in argument) == 1

    def check_properties(self, argument, value, schema):
        return not isinstance(value, dict) or all(self.accepts(argument[k], v) for k, v in value.items() if k in argument)

    def check_additionalProperties(self, argument, value, schema):
        if not isinstance(value, dict):
            return True
        others = [v for k, v in value.items() if k not in schema.get("properties", {})]
        return not others if argument is False else all(self.accepts(argument, v) for v in others)

    def check_propertyNames(self, argument, value, schema):
        return not isinstance(value, dict) or all(self.accepts(argument, str(k)) for k in value)

    def check_required(self, argument, value, schema):
        return not isinstance(value, dict) or all(k in value for k in argument)

    def check_items(self, argument, value, schema):
        return not isinstance(value, list) or all(self.accepts(argument, v) for v in value)

    def check_minItems(self, argument, value, schema):
        return not isinstance(value, list) or len(value) >= argument

    def check_maxItems(self, argument, value, schema):
        return not isinstance(value, list) or len(value) <= argument


FRAME = """
listeners: [{name: web, address: "127.0.0.1:8080"}]
upstreams: [{name: app, endpoints: ["127.0.0.1:8101"], %s}]
clusters: [{name: noord, hosts: noord.example, routes: [{path: /, upstream: app}]}]
"""
GOOD = ["keepalive: 3", "balance: {hash: 'header:x'}", "slow_start: 0", "slow_start: 10s", "retries: {budget: 20%}",
        "proxy_protocol: off", "proxy_protocol: v2", "retries: ", "check: {type: http, status: 204}"]
BAD = ["keepalive: x", "keepalive: 10001", "balance: fastest", "slow_start: 10", "zap: 1", "check: {}",
       "proxy_protocol: v3", "tls: []", "name: 'a b'", "endpoints: []", "retries: {budget: lots}"]


def main(tool, example):
    def made(what):
        return subprocess.run([tool, what], check=True, capture_output=True, text=True).stdout

    schema = json.loads(made("schema"))
    validator = Validator(schema)
    cases = [(made("example"), True), (open(example, encoding="utf-8").read(), True)]
    cases += [(FRAME % line, True) for line in GOOD] + [(FRAME % line, False) for line in BAD]
    failures = [text for text, good in cases if validator.accepts(schema, yaml.safe_load(text)) != good]
    for text in failures:
        print("judged wrongly:", text)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
