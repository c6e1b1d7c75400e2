"""One sensor over the queue of object events, where there is one.

Here: when a message may be deleted, so that a tick that is killed at any point loses nothing:

1. A message only says which folder (source, entity, landing day) to look at. The tick lists that
   folder, compares it with the ledger, and asks for a run over its day.
2. The folder is put into the sensor's cursor, which Dagster keeps when the tick has ended well. It
   leaves the cursor when a whole listing finds nothing more to load in it.
3. A message is deleted when the cursor that an earlier tick left has its folder, when the ledger
   has settled its object, or when its whole folder was listed since and nothing is to be loaded.
   Until then the queue's time-out brings it back: most messages come twice.

A message that nobody can read is reported, and left for the queue to move to its dead-letter queue.
Not here: what messages say (`resources.object_events`), what is new (`sources.planner`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import dagster as dg

from cdp_assets.jobs import customer_360_job
from cdp_assets.resources.object_events import Message, ObjectEvent, ObjectEvents
from cdp_assets.resources.object_ledger import ObjectLedger, UnknownObject
from cdp_assets.resources.object_store import ObjectStore, is_incomplete
from cdp_assets.sensors.landing import INTERVAL_SECONDS, request, starts_as
from cdp_assets.settings import Limits, Settings
from cdp_assets.sources.contracts import Contract
from cdp_assets.sources.planner import NOTHING, Landing, LandingPlan, joined
from cdp_assets.sources.tables import LANDING

# Folders in the cursor: a year of days of one entity. What is past it stays in the queue.
_FOLDERS: Final = 400


@dataclass(frozen=True)
class Look:
    """How far a folder was looked at.

    Attributes:
        after: everything up to this key was; empty at the beginning.
        again: something before that key is new, so that the folder is looked at once more.
    """

    after: str = ""
    again: bool = False

    def will_see(self, key: str) -> bool:
        """Tell whether a key is still to be looked at."""
        return self.again or key > self.after


Folders = Mapping[str, Look]


@dataclass(frozen=True)
class Tick:
    """What one tick found out.

    Attributes:
        folders: to look at in the next tick, the next one first.
        plan: to load now.
        done: messages to delete.
        problems: sentences for the log.
    """

    folders: Folders
    plan: LandingPlan
    done: Sequence[Message]
    problems: Sequence[str]


def build_event_sensors(
    contracts: Sequence[Contract], settings: Settings
) -> list[dg.SensorDefinition]:
    """The sensor over the queue; none where no queue is set."""
    if settings.landing_queue_url is None:
        return []

    @dg.sensor(
        name="landing_events",
        job=customer_360_job,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=starts_as(settings),
        description="New objects that S3 tells of are loaded and reach the profiles.",
    )
    def landing_events(
        context: dg.SensorEvaluationContext,
        store: dg.ResourceParam[ObjectStore],
        ledger: dg.ResourceParam[ObjectLedger],
        events: dg.ResourceParam[ObjectEvents],
    ) -> dg.RunRequest | dg.SkipReason:
        landing = Landing(contracts, store, ledger)
        messages = events.receive(settings.limits.messages_per_tick)
        found = tick(_kept(context.cursor), messages, landing, settings.limits)
        for problem in found.problems:
            context.log.warning(problem)
        events.delete(found.done)
        context.update_cursor(_token(found.folders))
        if not found.plan.objects:
            return dg.SkipReason(f"{len(messages)} messages, and nothing new to load.")
        return request(context.instance, "events", found.plan)

    return [landing_events]


def tick(kept: Folders, messages: Sequence[Message], landing: Landing, limits: Limits) -> Tick:
    """Take note of messages, and look at the folders that they, or earlier ones, speak of."""
    noted = note(kept, messages, landing)
    folders, plan = look(noted.folders, landing, limits)
    through = noted.folders.keys() - folders.keys()
    done = [message for message, needs in noted.messages if needs <= through]
    return Tick(folders, plan, done, [*noted.problems, *plan.problems])


@dataclass(frozen=True)
class Noted:
    """What messages say.

    Attributes:
        folders: to look at, those of earlier ticks included.
        messages: that can be read, with those of their folders that no earlier tick has kept.
        problems: sentences for the log.
    """

    folders: Folders
    messages: Sequence[tuple[Message, set[str]]]
    problems: Sequence[str]


def note(kept: Folders, messages: Sequence[Message], landing: Landing) -> Noted:
    """Add the folders that messages speak of.

    Args:
        kept: folders as the cursor has them; only these survive if the tick is killed.
        messages: from the queue.
        landing: knows what is loaded.
    """
    folders, readable = dict(kept), []
    problems = [
        f"Message {message.name} is left to the dead-letter queue: {message.problem}."
        for message in messages
        if message.problem
    ]
    unknown: set[UnknownObject] = set()
    loaded = landing.loaded({event.key for message in messages for event in message.events})
    for message in messages:
        if message.problem:
            continue
        needs: set[str] = set()
        for event in _due(message, loaded):
            folder = landing.folder(event.key)
            if isinstance(folder, UnknownObject):
                unknown.add(folder)
            elif folder not in kept or not kept[folder].will_see(event.key):
                needs.add(folder)
                _add(folders, folder, event.key)
        readable.append((message, needs))
    told = sorted(unknown, key=lambda found: found.object_key)
    return Noted(folders, readable, [*problems, *LandingPlan((), tuple(told), 0).problems])


def look(folders: Folders, landing: Landing, limits: Limits) -> tuple[Folders, LandingPlan]:
    """List folders until the tick has seen enough; the rest comes first in the next tick."""
    left, looked = dict(folders), {}
    listed, plans, objects = limits.listed_per_tick, [NOTHING], limits.objects_per_tick
    for folder, seen in folders.items():
        if listed <= 0 or objects <= 0:
            break
        found = landing.stretch(folder, seen.after, listed=listed, objects=objects)
        listed, objects = listed - found.listed, objects - len(found.plan.objects)
        plans.append(found.plan)
        again = seen.again or bool(found.plan.objects)
        del left[folder]
        if found.after:
            looked[folder] = Look(found.after, again)
        elif again:
            looked[folder] = Look()
    return {**left, **looked}, joined(plans)


def _due(message: Message, loaded: Mapping[str, str]) -> Iterator[ObjectEvent]:
    """Events of a message that may mean work."""
    for event in message.events:
        below_landing = event.key.startswith(f"{LANDING}/") and not is_incomplete(event.key)
        if below_landing and loaded.get(event.key) != event.version:
            yield event


def _add(folders: dict[str, Look], folder: str, key: str) -> None:
    seen = folders.get(folder)
    if seen is None:
        if len(folders) < _FOLDERS:
            folders[folder] = Look()
    elif not seen.will_see(key):
        folders[folder] = replace(seen, again=True)


def _token(folders: Folders) -> str:
    return json.dumps({folder: [seen.after, seen.again] for folder, seen in folders.items()})


def _kept(cursor: str | None) -> Folders:
    """The folders in a cursor; of one that somebody wrote by hand none: listing finds the rest."""
    try:
        token = json.loads(cursor or "{}")
        return {
            folder: Look(after, again)
            for folder, (after, again) in token.items()
            if isinstance(after, str) and isinstance(again, bool)
        }
    except (ValueError, TypeError, AttributeError):
        return {}
