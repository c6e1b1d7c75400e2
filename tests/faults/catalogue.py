"""The faults by number: what happens, and what the platform then does.

docs/what-happens-if.md is made of this and of the marks of the tests (`document.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        number: F01 and so on, which the marks of tests name.
        what: happens.
        answer: what the platform does.
        gap: why no test shows it, or what of it none shows; else empty.
    """

    number: str
    what: str
    answer: str
    gap: str = ""


_NO_ERASURE: Final = "There is no erasure yet."

KILLS: Final = "Something is killed"
ARRIVALS: Final = "Objects arrive oddly"
FILES: Final = "A file is not what it should be"
SERVICES: Final = "A service fails"
STATE: Final = "State is damaged, or two work at once"
PEOPLE: Final = "People change their minds"
HOSTILE: Final = "Input is hostile"
OPERATION: Final = "The surroundings are not as they should be"

FAULTS: Final[dict[str, list[Fault]]] = {
    KILLS: [
        Fault(
            "F01",
            "A run is killed (SIGKILL), at whatever point of whatever step.",
            "Run it again: what was committed stays, what was not is done again under a new load "
            "id. The tables are those of an undisturbed run, and no scratch file is left.",
        ),
        Fault(
            "F02",
            "The whole stack is killed: webserver, daemon, run.",
            "At the next start runs that nobody works on are marked failed, which frees their "
            "slots, and the work goes on where it stopped.",
        ),
        Fault(
            "F03",
            "A run is killed while its dbt works.",
            "dbt ends with it, within seconds. On Athena a lease keeps the next writer away until "
            "no statement of the killed run can be alive.",
        ),
        Fault(
            "F04",
            "A run is terminated in the UI, or with SIGTERM.",
            "It stops at once, tells Athena to cancel its statement, and can be launched again.",
        ),
    ],
    ARRIVALS: [
        Fault(
            "F05",
            "The same object is delivered again and again, by event and by listing.",
            "It is loaded once: the ledger knows key and version.",
        ),
        Fault(
            "F06",
            "A key is overwritten with other content.",
            "The new version is loaded, its rows take the place of the old ones, and the ledger "
            "keeps both entries. What lies below is built anew.",
        ),
        Fault(
            "F07",
            "The same content comes under another key.",
            "Its records count as duplicates: one row each, with the number of deliveries.",
        ),
        Fault(
            "F08",
            "Ten thousand keys arrive within one second, or with times in the past.",
            "All are loaded: no time stamp and no cursor decides what is new.",
        ),
        Fault(
            "F09",
            "An object is deleted between listing and reading.",
            "It is passed over and named in a warning; the run goes on.",
        ),
        Fault(
            "F10",
            "An object is still being written, or is a writer's scratch file or a folder marker.",
            "It waits: scratch names are not listed, and what changes while it is read is left "
            "for the next run.",
        ),
        Fault(
            "F11",
            "An object is empty: no byte, a header only, blank lines only.",
            "It is kept in the ledger as empty, with 0 records.",
        ),
    ],
    FILES: [
        Fault(
            "F12",
            "A gzip is truncated or no gzip, or several are joined; the compression is unknown.",
            "The object is quarantined whole and the error names it; joined ones are read to the "
            "end.",
        ),
        Fault(
            "F13",
            "A gzip bomb.",
            "Reading stops at the limit of ratio or bytes, and the object is quarantined.",
        ),
        Fault(
            "F14",
            "A huge file, millions of rows, one endless line.",
            "It is read in bounded memory, or refused with the limit that it breaks.",
        ),
        Fault(
            "F15",
            "A hundred thousand tiny files.",
            "They are loaded in batches; a tick of the sensor stays short.",
            "Listed, planned and asked for; loading so many is not tried.",
        ),
        Fault(
            "F16",
            "BOM, UTF-16, Latin-1, broken UTF-8, NUL, invisible characters, mixed Unicode forms.",
            "The declared encoding is honoured; what does not fit it is quarantined with the byte "
            "offset. Keys are compared in one Unicode form.",
        ),
        Fault(
            "F17",
            "Ragged rows, an unclosed quote, another delimiter, doubled or renamed headers.",
            "Bad records are quarantined and good ones after them are kept; a header that breaks "
            "the contract stops the object.",
        ),
        Fault(
            "F18",
            "A broken JSON line, no object, duplicate keys, NaN, huge numbers, deep nesting.",
            "That line is quarantined and the rest is loaded; ids stay text, digit for digit.",
        ),
        Fault(
            "F19",
            "A column is new, gone or of another type.",
            "What the contract says: a new optional one is kept and reported, a missing or "
            "retyped one is stopped before the cleansed layer.",
        ),
        Fault(
            "F20",
            "Excel has been at it: 4.15555E9, lost zeros, serial dates, a surname NULL.",
            "Values stay text; what cannot be a phone or a date is flagged, and Null and NA "
            "remain names.",
        ),
        Fault(
            "F21",
            "Times without zone, with offsets, as epochs, in a DST gap, of year 1 or 9999, in the "
            "future; a host in Tokyo.",
            "One instant in UTC on both engines, whatever the host's zone; a future past the limit "
            "is quarantined.",
        ),
        Fault(
            "F22",
            "Events come late, out of order, a day in any order.",
            "The tables and the ids are those of any other order.",
        ),
    ],
    SERVICES: [
        Fault(
            "F23",
            "Clocks differ or go backwards.",
            "Nothing is missed or doubled: no clock decides what is new.",
        ),
        Fault(
            "F24",
            "S3 is busy, answers 500, times out, drops the connection.",
            "Calls are made again with growing pauses; then the step fails with one clear line, "
            "and nothing half-done is seen.",
        ),
        Fault(
            "F25",
            "A write is done and its answer is lost.",
            "The write is made again and changes nothing: one object, one item, one statement.",
        ),
        Fault(
            "F26",
            "DynamoDB throttles, leaves items over, refuses a large item, has a newer one.",
            "All that fits lands; what is too large is named; an older write never beats a newer.",
        ),
        Fault(
            "F27",
            "Athena is busy, a statement fails half way, a commit loses a race, a limit is hit.",
            "Several statements are one: the tables are set back. Scratch tables are swept.",
        ),
        Fault(
            "F28",
            "Credentials expire, a permission is missing, a key is disabled.",
            "The error names the action and the resource; nothing is published by halves.",
        ),
        Fault(
            "F29",
            "The disk is full, read-only or closed to the user.",
            "The error names the path and what to do; what was there before stays.",
        ),
    ],
    STATE: [
        Fault(
            "F30",
            "Two runs of one asset at once; schedule, sensor and backfill overlap.",
            "One waits or is refused; the tables are those of one after the other.",
        ),
        Fault(
            "F31",
            "Somebody reads while a run builds.",
            "Readers see one whole version, the old or the new, and hold up nobody.",
        ),
        Fault(
            "F32",
            "The ledger, the warehouse, a manifest, the event log is damaged or gone.",
            "The fault is named; `cdp doctor --rebuild` builds the same tables from landing.",
        ),
        Fault(
            "F33",
            "The state is of an older or a newer release.",
            "It is brought up to date, or refused with what to do.",
        ),
        Fault(
            "F37",
            "Records were wrongly merged; a phone or mailbox is shared; a junk identifier.",
            "Junk and crowded identifiers link nobody, clusters have a size limit, and a decision "
            "of a person parts two records for good.",
        ),
    ],
    PEOPLE: [
        Fault("F34", "Erasure is asked for.", "Not built.", _NO_ERASURE),
        Fault("F35", "Erasure is killed half way.", "Not built.", _NO_ERASURE),
        Fault("F36", "Erasure has to be proven.", "Not built.", _NO_ERASURE),
        Fault(
            "F38",
            "Consent is withdrawn between build and activation.",
            "Not built.",
            "There are no exports yet.",
        ),
    ],
    HOSTILE: [
        Fault(
            "F39",
            "One tenant reaches for another: `../b`, another's prefix, a crafted key.",
            "Names that are no names are refused; each tenant has its own databases, prefix, "
            "items and key of the hashes.",
        ),
        Fault(
            "F40",
            "Path traversal and odd keys: `../`, absolute, newlines, symbolic links.",
            "Nothing leaves the lake; the odd object is reported, the others are loaded.",
        ),
        Fault(
            "F41",
            "SQL or Jinja in values, names of columns, folders.",
            "It is data: values come out as they went in, and identifiers are allow-listed.",
        ),
        Fault(
            "F42",
            "Formulas in CSV, HTML and Markdown in names.",
            "Exports disarm them and imports take them back; pages and metadata escape them.",
        ),
        Fault(
            "F43",
            "The profile API is asked without a right, or by brute force.",
            "Not built.",
            "There is no HTTP API of profiles yet; `cdp profile get` asks the store.",
        ),
        Fault(
            "F44",
            "Secrets and personal data are in the input.",
            "They are in no log, error, metadata, compiled SQL or event log.",
        ),
        Fault(
            "F45", "A line of the audit log is changed.", "Not built.", "There is no audit log yet."
        ),
        Fault(
            "F46", "A clean room is asked for one person.", "Not built.", "There is no clean room."
        ),
    ],
    OPERATION: [
        Fault("F47", "There is no network.", "The laptop's platform needs none and tries none."),
        Fault(
            "F48",
            "The UI of Dagster, which has no login, is exposed.",
            "It is bound to the loopback address. `cdp look`, which can launch nothing, is bound "
            "to another one only if somebody says that a proxy asks who comes.",
        ),
        Fault(
            "F49",
            "A dependency is replaced by another.",
            "Versions and hashes of all packages are locked; `make sbom` lists them.",
        ),
        Fault(
            "F50",
            "Costs run away: a loop of runs, a scan of everything.",
            "The work group limits the bytes of a statement; a failed load is not tried for ever.",
        ),
    ],
}

NUMBERS: Final = frozenset(fault.number for faults in FAULTS.values() for fault in faults)
