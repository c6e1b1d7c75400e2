"""The seven sources of pseudopeople's sample population, one Parquet file each, columns alike.

Run by the Python of an environment that holds pseudopeople, which needs an older pandas than ours:
`python pseudopeople_sources.py FOLDER`. Noise and year are pseudopeople's own defaults.
Not here: that environment (`identity_suite.py`).
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

_SOURCES = (
    "decennial_census",
    "american_community_survey",
    "current_population_survey",
    "women_infants_and_children",
    "social_security",
    "taxes_w2_and_1099",
    "taxes_1040",
)
_COLUMNS = (
    *("simulant_id", "first_name", "last_name", "date_of_birth", "sex", "ssn"),
    *("street_number", "street_name", "unit_number", "city", "state", "zipcode"),
)
_MAILING = "mailing_address_"


def main() -> None:
    """Write the files."""
    pseudopeople = importlib.import_module("pseudopeople")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for source in _SOURCES:
        people = getattr(pseudopeople, f"generate_{source}")(seed=0)
        people = people.rename(columns=lambda name: name.removeprefix(_MAILING))
        people = people[[name for name in _COLUMNS if name in people]].astype("string")
        people.assign(source=source).to_parquet(folder / f"{source}.parquet", index=False)


if __name__ == "__main__":
    main()
