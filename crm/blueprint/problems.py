"""What can be wrong in a blueprint, said with its place, its reason and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands; lines and columns count from one, zero means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to put right. `code` is stored and translated, so it is never renamed."""

    file: str
    line: int
    column: int
    code: str
    reason: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.reason} {self.fix} [{self.code}]"

    def as_dict(self) -> Mapping[str, str | int]:
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "code": self.code,
            "reason": self.reason,
            "fix": self.fix,
        }


# code -> (reason, what to do). Kept in one table so that a catalogue can translate it whole.
TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    # The folder and its files.
    "folder_missing": ("There is no blueprint folder here.", "Name the folder that holds package.yaml."),
    "package_missing": ("package.yaml is missing.", "Add package.yaml beside the layer folders."),
    "file_unknown": (
        "{name} does not belong into a blueprint.",
        "Keep only package.yaml and *.yaml files in the folders {layers}.",
    ),
    "file_unreadable": ("The file cannot be read: {why}.", "Make the file readable for this user."),
    "file_outside": ("The file is a link.", "Put the file itself into the blueprint."),
    "file_too_large": (
        "The file has {size} bytes; {limit} are allowed.",
        "Split it into several files of the same folder.",
    ),
    "package_too_large": (
        "The blueprint is larger than {limit}.",
        "Take out what does not belong into it; lists that change daily are imported instead.",
    ),
    "not_utf8": ("The file is not UTF-8 text.", "Save the file again with the encoding UTF-8."),
    "control_character": (
        "There is a control character ({name}) here.",
        "Delete the character; it is often left by copying from another program.",
    ),
    "tab": ("A tab stands where blanks must indent.", "Replace the tab by blanks, two for each level."),
    # YAML.
    "yaml_syntax": (
        "This is not valid YAML: {why}.",
        "Check indentation, quotes, brackets and colons on this line and the one before.",
    ),
    "yaml_alias": (
        "Anchors and aliases (& and *) are not allowed.",
        "Write the value out; put a text that begins with & or * in quotes.",
    ),
    "yaml_tag": (
        "The tag {tag} is not allowed.",
        "Remove the tag; put a text that begins with ! in quotes.",
    ),
    "yaml_documents": ("The file holds more than one document.", "Make one file of each part after ---."),
    "yaml_empty": ("The file says nothing.", "Write the content or delete the file."),
    "yaml_too_deep": ("More than {limit} levels stand inside one another.", "Write it flatter."),
    "yaml_too_many": ("The file has more than {limit} values.", "Split it into several files."),
    "yaml_key": ("A key must be a plain word.", "Write `word: value`."),
    "duplicate_key": (
        "The key {key} stands here twice; the first is on line {line}.",
        "Keep one of the two, or give this one another name.",
    ),
    "number_too_large": ("The number {value} is too large.", "Put it in quotes if it is a code."),
    # The shape.
    "section_unknown": (
        "{name} is not a part of the folder {layer}.",
        "Use one of {known}.",
    ),
    "section_twice": (
        "{name} is defined twice; the first is {file}, line {line}.",
        "Keep one of the two, or give this one another id.",
    ),
    "document_missing": ("The blueprint has no {name}.", "Add it in the folder {layer}."),
    "field_missing": ("{name} is missing.", "Add `{name}:` here."),
    "field_unknown": ("{name} is not known here.", "Remove it or correct its spelling."),
    "value_invalid": ("{why}.", "Correct the value of {name}."),
    "text_expected": ("{name} must be a text.", "Put the value in quotes."),
    "label_missing": (
        "The label has no text in zh-Hans.",
        "Give the text itself, or `zh-Hans:` with the text.",
    ),
    "engine_unsuited": (
        "This blueprint needs the model language {wanted}; this program speaks {engine}.",
        "Use the program version that the blueprint was made for, or adapt `engine:`.",
    ),
    # What refers to what.
    "reference_unknown": (
        "{target} {name} does not exist.",
        "Use one of {known}, or define {name}.",
    ),
    "reference_circle": ("{name} is, over its parents, its own parent.", "Give one of them another parent."),
    "not_unique": (
        "{name} is used twice as {what}; the first is {file}, line {line}.",
        "Change one of the two.",
    ),
    "dates_reversed": ("valid_to lies before valid_from.", "Swap or correct the two dates."),
    "code_hierarchy": (
        "The code {name} names the parent code {parent}, which its parent table does not have.",
        "Name a code of the parent table.",
    ),
    "barcode_check_digit": (
        "The barcode {name} has the wrong check digit.",
        "Compare it with the package; the last digit should be {digit}.",
    ),
    "alias_ambiguous": (
        "{name} already stands for {other} ({file}, line {line}).",
        "Keep the alias at one product only.",
    ),
    "unit_without_base": ("The unit set has no unit that counts 1.", "Give the smallest unit the size 1."),
    "value_not_declared": (
        "{name} is not among the fields {known}.",
        "Declare the field or remove the value.",
    ),
    "value_type": ("{name} must be {wanted}.", "Correct the value."),
    # Conditions.
    "condition_syntax": (
        "The condition cannot be read: {why}.",
        "Correct it, for example `case.severity >= 3`.",
    ),
    "condition_too_long": ("The condition is longer than {limit} characters.", "Split it."),
    "condition_too_complex": ("The condition is too complex: {why}.", "Split it."),
    "condition_name": ("The condition names {name}, which is not known here.", "Use one of {known}."),
    "condition_function": (
        "The condition uses the function {name}, which does not exist.",
        "Use one of {known}.",
    ),
    "pattern_invalid": ("The pattern cannot be read: {why}.", "Correct the regular expression."),
    # Messages.
    "words_collide": (
        "The word {name} already means {other} ({file}, line {line}).",
        "Give one of the two another word.",
    ),
    "default_form_unsuited": (
        "The form {name} has no lines that a short message could report.",
        "Name a form with `lines:` and `channels: sms:`.",
    ),
    "grammar_conflict": ("Words and forms contradict each other: {why}.", "Correct the words named."),
    "placeholder_unknown": (
        "The text has the placeholder {{{name}}}, which nothing fills.",
        "Use one of {known}.",
    ),
    "text_unreadable": ("The text has a lone brace.", "Write placeholders as {{name}}."),
    "message_too_long": (
        "The fixed text takes {length} units; two parts of a message hold {limit}.",
        "Shorten it; the signature counts, too.",
    ),
    # Organisation.
    "role_without_rights": (
        "The role {name} may do nothing and see nothing.",
        "Give it permissions; what is not allowed is denied.",
    ),
    "role_without_holder": (
        "No role may do {name}.",
        "Allow the action to a role, or remove it.",
    ),
    "applies_and_approves": (
        "The role {role} may both {apply} and {approve}.",
        "Allow one of the two to another role; a second person must approve.",
    ),
    "fields_shown_and_hidden": (
        "The field {name} is both shown and hidden.",
        "Keep it in `show` or in `hide`.",
    ),
    # Service.
    "queue_missing": ("No queue takes {name}.", "Add it to `case_kinds:` of one queue."),
    "queue_twice": (
        "{name} goes to two queues; the first is {other}.",
        "Remove it from one of the two.",
    ),
    "state_unreachable": (
        "No transition leads to the state {name}.",
        "Add a transition or remove the state.",
    ),
    "state_without_exit": (
        "No transition leaves the state {name}, and it is not an end.",
        "Add a transition, or write `ends: true`.",
    ),
    "flow_without_end": (
        "The flow has no end that can be reached.",
        "Mark a reachable state with `ends: true`.",
    ),
    "number_pattern": (
        "The number pattern cannot work: {why}.",
        "Write, for example, `T{{yy}}{{mm}}-{{n:4}}`.",
    ),
    "number_collision": (
        "The numbers look like those of {other}.",
        "Begin one of the patterns with another letter.",
    ),
    "due_reversed": ("The first answer is due after the solution.", "Make `first_answer` the shorter time."),
    "hours_overlap": ("The hours {name} overlap or run backwards.", "Write them in order, like 08:30-12:00."),
}


def problem(code: str, place: Place, **values: object) -> Problem:
    reason, fix = TEXTS[code]
    return Problem(place.file, place.line, place.column, code, reason.format(**values), fix.format(**values))


def listed(names: object, most: int = 12) -> str:
    """Names as a short list for a sentence; a long list is cut, since nobody reads it."""
    known = sorted(str(name) for name in names) if isinstance(names, list | tuple | set | frozenset) else []
    if not known:
        return "(none defined yet)"
    return ", ".join(known[:most]) + (" …" if len(known) > most else "")
