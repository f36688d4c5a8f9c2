"""The samples that find runs by themselves."""

from __future__ import annotations

from pytest_quarry.samples.sample import Sample, broken, sound

SOUND_POLLERS: tuple[Sample, ...] = (
    sound(
        "poller-one-transaction",
        "Rows and mark in one SQLite transaction.",
        "sound_pollers:OneTransactionPollerSuite",
    ),
    sound("poller-flat", "The same over the flat layout.", "sound_pollers:FlatPollerSuite"),
    sound(
        "poller-atomic-checkpoint",
        "Upserts a run, then replaces the checkpoint file.",
        "sound_pollers:AtomicCheckpointSuite",
    ),
    sound(
        "poller-checkpoint-per-poll",
        "Upserts all new runs, then replaces the checkpoint file once.",
        "sound_pollers:CheckpointPerPollSuite",
    ),
    sound("poller-locked", "A lock, a log, a checkpoint by rename.", "sound_pollers:LockedSuite"),
    sound("poller-files", "One file per run, by rename.", "sound_pollers:FilePollerSuite"),
    sound("poller-few-at-a-time", "Loads five runs at each poll, at most.", "sound_pollers:FewAtATimeSuite"),
    sound("poller-one-category", "Wants one category of all sources.", "wanted_runs:OneCategoryPollerSuite"),
    sound(
        "poller-newest-run",
        "Looks for the newest run of each source and category.",
        "newest_runs:NewestRunPollerSuite",
    ),
    sound("poller-target", "The target is the checkpoint.", "sound_pollers:TargetPollerSuite"),
    sound(
        "poller-looks-back-and-catches-up",
        "A look-back window, and a scan of everything once an hour.",
        "sound_pollers:LooksBackAndCatchesUpSuite",
    ),
    sound("poller-bucket", "Reads S3 page by page; rows and mark in one transaction.", "buckets:BucketPollerSuite"),
)

BROKEN_READING: tuple[Sample, ...] = (
    broken(
        "poller-first-segment",
        "Reads the first segment of a run.",
        "broken_reading:FirstSegmentPollerSuite",
        "RD02 RD05",
    ),
    broken(
        "poller-newest-segment",
        "Reads the newest segment of a run.",
        "broken_reading:NewestSegmentPollerSuite",
        "RD02 RD05",
    ),
    broken(
        "poller-file-by-file",
        "Loads an event as often as storage holds it.",
        "broken_reading:FileByFilePollerSuite",
        "RD01",
    ),
    broken(
        "poller-any-terminal-event",
        "Takes every run with a terminal event for a success.",
        "broken_assumptions:AnyTerminalEventSuite",
        "PO07",
    ),
    broken("poller-all-files", "Reads data that no manifest commits.", "broken_reading:AllFilesSuite", "PO07"),
    broken(
        "poller-partition-means-finished",
        "Loads a run as soon as its partition has items.",
        "broken_reading:PartitionMeansFinishedSuite",
        "PO07",
    ),
    broken(
        "poller-items-mean-finished",
        "Does not wait for the terminal event of a run in the flat layout.",
        "broken_reading:ItemsMeanFinishedSuite",
        "PO07",
    ),
    broken(
        "poller-walks-parents",
        "Follows `latest` and the parents instead of listing the segments.",
        "broken_reading:WalksParentsSuite",
        "PO07",
    ),
    broken(
        "poller-copies-of-manifests",
        "Needs the partitions' copies of a manifest, which may come late or never.",
        "broken_reading:CopiesOfManifestsSuite",
        "PO07",
    ),
    broken(
        "poller-skips-unreadable-files",
        "Loads a run without the files it could not read.",
        "broken_errors:SkipsUnreadablePollerSuite",
        "RD04 PO08",
    ),
    broken(
        "poller-counts-warnings",
        "Fails at a log whose payload is null.",
        "broken_errors:CountsWarningsSuite",
        "RD07",
    ),
    broken(
        "poller-needs-items",
        "Raises at a run without items, at every poll.",
        "broken_errors:NeedsItemsPollerSuite",
        "RD08",
    ),
    broken(
        "poller-rereads-manifests",
        "Gets every manifest at every poll.",
        "buckets:RereadsManifestsSuite",
        "PO12",
    ),
    broken(
        "poller-scans-for-each-run",
        "Reads all manifests again for every run it knows.",
        "broken_pollers:ScansForEachRunSuite",
        "PO12",
    ),
    broken("poller-first-page", "Reads the first page of a listing.", "buckets:FirstPageSuite", "PO10"),
    broken(
        "poller-pages-until-an-error",
        "Moves its checkpoint although a page of the listing is missing.",
        "buckets:PagesUntilAnErrorSuite",
        "PO10",
    ),
    broken(
        "poller-source-by-prefix",
        "Wants the source `shop` and takes `shop2` too.",
        "broken_assumptions:SourceByPrefixSuite",
        "PO11",
    ),
    broken(
        "poller-categories-of-one-name",
        "Wants the category `products` and takes `xproducts` too.",
        "wanted_runs:CategoriesOfOneNamePollerSuite",
        "PO11",
    ),
    broken(
        "poller-decoy-keys",
        "Finds finished runs by a substring of keys, also in a backup.",
        "broken_assumptions:DecoyKeysSuite",
        "PO11 PO07",
    ),
)

BROKEN_POLLERS: tuple[Sample, ...] = (
    broken(
        "poller-today-at-start",
        "Asks what day it is when it starts, and then no more.",
        "broken_days:TodayAtTheStartSuite",
        "PO05",
    ),
    broken(
        "poller-closes-days",
        "Looks no more into days that are over, once it has loaded their runs.",
        "broken_days:ClosesDaysSuite",
        "PO06",
    ),
    broken("poller-inserts", "Keeps no checkpoint.", "broken_pollers:InsertsEachTimeSuite", "PO01 PO03"),
    broken("poller-in-memory", "Keeps the loaded runs in a set.", "broken_pollers:InMemorySuite", "PO03"),
    broken(
        "poller-checkpoint-in-place",
        "Rewrites the checkpoint in place, and fails for ever when it is cut.",
        "broken_pollers:CheckpointInPlaceSuite",
        "PO02",
    ),
    broken(
        "poller-checkpoint-first",
        "Makes the checkpoint durable before the rows.",
        "broken_pollers:CheckpointFirstSuite",
        "PO02",
    ),
    broken(
        "poller-checkpoint-later",
        "Only inserts, and writes the checkpoint after that.",
        "broken_pollers:CheckpointLaterSuite",
        "PO03",
    ),
    broken(
        "poller-checkpoint-may-be-lost",
        "Takes a cut checkpoint as an empty one, and only inserts.",
        "broken_pollers:CheckpointMayBeLostSuite",
        "PO03",
    ),
    broken(
        "poller-row-by-row",
        "Commits row by row and takes the first row as proof of the rest.",
        "broken_pollers:RowByRowSuite",
        "PO02",
    ),
    broken(
        "poller-forgets-after-a-week",
        "Lets its marks expire, while the runs stay in storage.",
        "broken_pollers:ForgetsAfterAWeekSuite",
        "PO01",
    ),
    broken("poller-looks-back", "Looks back one hour.", "broken_pollers:LooksBackSuite", "PO05 PO06"),
    broken("poller-today-only", "Looks at today's partition only.", "broken_pollers:TodayOnlySuite", "PO05 PO06"),
    broken(
        "poller-high-water-mark",
        "Looks at what finished after the newest it has loaded.",
        "broken_pollers:HighWaterMarkSuite",
        "PO06",
    ),
    broken(
        "poller-high-water-mark-twice",
        "Looks again at what finished at the mark itself, and only inserts.",
        "broken_pollers:HighWaterMarkTwiceSuite",
        "PO01 PO06",
    ),
    broken(
        "poller-counts-runs",
        "Keeps an offset into a sorted listing.",
        "broken_pollers:CountsRunsSuite",
        "PO06",
    ),
    broken("poller-newest-days", "Takes past days as closed.", "broken_pollers:NewestDaysSuite", "PO06"),
    broken(
        "poller-snapshot-at-a-time",
        "Loads each committed snapshot, finished run or not.",
        "broken_pollers:SnapshotAtATimeSuite",
        "PO07 RD01",
    ),
    broken(
        "poller-keyed-by-event",
        "A primary key of event_id alone.",
        "broken_assumptions:KeyedByEventPollerSuite",
        "PO11",
    ),
    broken(
        "poller-matches-anywhere",
        "Compares run ids by substring.",
        "broken_assumptions:MatchesAnywherePollerSuite",
        "PO11",
    ),
    broken(
        "poller-lowers-ids",
        "Takes ids that differ in case for one run.",
        "broken_assumptions:LowersIdsSuite",
        "PO11",
    ),
    broken(
        "poller-cuts-ids",
        "Tells runs apart by the first 32 characters of their ids.",
        "broken_assumptions:CutsIdsSuite",
        "PO11",
    ),
    broken(
        "poller-types-of-hive",
        "Takes run ids of digits for numbers, as readers of Hive partitions do.",
        "broken_assumptions:TypesOfHiveSuite",
        "PO11",
    ),
    broken(
        "poller-quiet-at-damage",
        "Swallows the error of a damaged checkpoint, and finds nothing for ever.",
        "broken_failures:QuietAtDamageSuite",
        "PO04",
    ),
    broken(
        "poller-empty-means-nothing-new",
        "Finds nothing new in an empty checkpoint.",
        "broken_failures:EmptyMeansNothingNewSuite",
        "PO04",
    ),
    broken(
        "poller-stops-at-the-first",
        "Lets one run that cannot be loaded hold up all behind it.",
        "broken_failures:StopsAtTheFirstSuite",
        "PO08",
    ),
    broken(
        "poller-says-nothing",
        "Fails at a run for ever, and nobody hears of it.",
        "broken_failures:SaysNothingSuite",
        "PO08",
    ),
    broken(
        "poller-gives-up-on-a-run",
        "Marks a run that failed once, and does not try it again.",
        "broken_failures:GivesUpOnARunSuite",
        "PO08",
    ),
    broken(
        "poller-logs-refusals",
        "Logs that the database refused a run, and marks it all the same.",
        "broken_failures:LogsRefusalsSuite",
        "PO08",
    ),
    broken(
        "poller-never-syncs",
        "Renames a checkpoint that it has not fsynced.",
        "broken_failures:NeverSyncsSuite",
        "PO13",
    ),
    broken(
        "poller-syncs-no-folder",
        "Renames a folder into place whose files it has not fsynced.",
        "broken_failures:FolderNeverSyncedSuite",
        "PO13",
    ),
)
