"""Why each check's disturbance happens in production, in words for somebody who has not met it yet."""

from __future__ import annotations

from pytest_quarry.checks.check import Check

WHY: dict[str, str] = {
    "EB01": "SNS and SQS deliver at least once, and say so. A message is stored on several servers; if one of them is out when "
    "you delete it, that copy comes back minutes later. Retries of a publisher and a redrive from the dead-letter queue, done "
    "by hand on a bad morning, deliver again too, and a duplicate can sit in the same batch as its original.",
    "EB02": "As soon as there are two workers, or a Lambda function with a concurrency above one, two of them can hold the same "
    "message: its visibility timeout ended while the first was still busy, or the queue delivered it twice. Each looks, sees "
    "that the run is not loaded, and loads it. Two different runs meet in the same way where both rewrite one checkpoint.",
    "EB03": "Every deployment restarts the consumer, every scale-in ends one, and Lambda throws warm processes away whenever it "
    "likes. What was remembered in a set, a cache or a module's global is then gone, while messages from before the restart "
    "still come again.",
    "EB04": "Processes die between any two lines: the kernel kills for memory, a spot instance is taken back, a Lambda function "
    "reaches its timeout, a deployment does not wait. If the mark, the acknowledgement or the claim was already durable and the "
    "rows were not, nobody will ever load that run again, and nothing reports an error.",
    "EB05": "The same deaths, a few instructions later: the rows are committed, and what should tell so (a mark, a checkpoint, "
    "the acknowledgement) is not yet. The message comes again after its visibility timeout, the consumer finds no mark, and "
    "every number computed from the rows is too high from then on.",
    "EB06": "Databases fail over, disks fill up, S3 answers 503 now and then. A handler that catches the error, logs it and "
    "returns has told SQS that the work is done. The run is lost, and all there is to see is a line in a log that nobody reads.",
    "EB07": "Claims, leases and lock rows protect a run while a worker is busy with it. When that worker is killed, the claim "
    "stays. If it has no end, or if others acknowledge the message because “somebody is on it”, the run is loaded by nobody; "
    "if it ends later than the last redelivery, the message is in the dead-letter queue by then.",
    "EB08": "A run with more items than usual, a slow database, a garbage collection: the first worker is still at work when "
    "the message becomes visible again, and the duplicate reaches a second one. A claim that is read and then written, or that "
    "ends before the work does, lets both of them load.",
    "EB09": "A visibility timeout is chosen for an ordinary day. On a slow one it ends in the middle of the work: the message "
    "is given to somebody else, and the first worker's receipt handle is stale, so that its delete may fail or do nothing. "
    "Both outcomes look like an error after the rows are already in the target.",
    "EB10": "DeleteMessage is a network call like any other. It can fail, or succeed while its answer is lost, and the consumer "
    "cannot tell which. A consumer that undoes or repeats its work because the acknowledgement failed makes the damage itself.",
    "EB11": "SQS hands over up to ten messages at once, and Lambda up to ten thousand. One malformed message, or one run whose "
    "data is damaged, must not fail its neighbours again and again until they are in the dead-letter queue with it, and must not "
    "be reported as success together with them. The format of the partial answer is easy to get wrong, and a wrong one means "
    "success.",
    "EB12": "Sooner or later a topic carries something nobody expected: a test message typed by hand, a publisher's bug, a run "
    "whose folder was deleted by a lifecycle rule. A consumer that cannot get past it, or that deletes whatever stands around "
    "it, turns one bad message into a day without data.",
    "EB13": "A standard queue keeps no order, a retry puts a message behind those that came after it, and a redrive brings back "
    "last week's. A consumer that remembers the newest time or the highest id takes everything older for old news.",
    "EB14": "Run ids are chosen by people and by scripts: run-1 and run-10, the same job on two sources, a retry on the same "
    "day; a build number or a short commit hash reads like a number. Prefix comparisons, columns that are too short or of numbers, "
    "file names that lose characters, and keys that leave out the run hold for the three runs of a test, and mix up two of "
    "the thousand in production.",
    "EB15": "A publisher that lost the answer of its publish publishes again: another message id, another timestamp, perhaps "
    "other key order after an upgrade, and still the same run. Deduplicating on the message id, or on a hash of the text, "
    "does not see that.",
    "EB16": "The notification has required fields and optional ones, and consumers meet messages of older and newer versions at "
    "the same time. Other event types share the topic. Code written after looking at one example message fails on the first "
    "that is legal and different.",
    "EB17": "Runs end in five ways, and four of them leave partial data behind. A failed run is then tried again under the same "
    "job_id and a new run_id. Loading failed runs fills the target with half-scraped data; deduplicating by job throws the good "
    "second attempt away.",
    "EB18": "The notification and the data take different ways. Replication to another region, a listing that lags behind, a "
    "mounted file system with a cache: the message can arrive before the run is visible to the reader. A consumer that finds "
    "nothing, loads nothing and acknowledges has lost the run. And what it reads is written in place by many: one manifest in the "
    "listing may be another run's, half written just now.",
    "EB19": "Announcing a run is one attempt at the end of a process that may die before it, and the messages themselves can "
    "expire after a long outage. Quarry promises no notification. Only somebody who compares storage with what is loaded finds "
    "such a run.",
    "EB20": "Lambda and queue workers keep one process for many messages. What a failed message leaves in it (an open "
    "transaction, a buffer half full, a flag) belongs to the next one, which then loads rows that are not its own or fails for "
    "no reason of its own. It shows only after an error, so hardly ever in a test.",
    "EB21": "S3, SQS and DynamoDB throttle at the moments that matter: the hour in which all scrapers end, a backfill, a noisy "
    "neighbour. The SDK retries a few times, and then it raises. Code that takes this error for “nothing there”, or that starts "
    "in the middle again, loses or repeats data exactly when there is most of it.",
    "EB22": "A receive marks messages as in flight before its answer reaches you. When the answer is lost, ten messages are "
    "invisible and nobody works on them, until the visibility timeout brings them back with a higher receive count. Consumers "
    "that count receives, or that stop at a failed receive, do not get that far.",
    "PO01": "A poller runs every minute and nearly always finds what it has already loaded. Its memory of that is a checkpoint "
    "or a query, and every mistake in it repeats once a minute.",
    "PO02": "A cron job is killed when its host reboots, when its container is replaced, when it runs into its own next start. "
    "If the checkpoint says “loaded” before the rows are durable, or if it is cut while it is rewritten in place, runs are "
    "skipped for ever or the poller cannot start again.",
    "PO03": "The same deaths between the commit of the rows and the writing of the checkpoint. The next poll loads the run a "
    "second time. With row-by-row commits a part of it is doubled, which is harder to find than the whole.",
    "PO04": "Checkpoints are small files that live for years: they are emptied by a full disk, restored from last week's "
    "backup, edited by hand, lost with a volume, or left unreadable by another user's umask. What the poller then does is "
    "seldom written on purpose. The worst is to take it for “nothing new” and say nothing.",
    "PO05": "A poller can be down over a weekend, or disabled for a week and forgotten. If it looks back only an hour, or only "
    "at today's folder, all that finished meanwhile is never looked at again.",
    "PO06": "Runs do not become visible in the order of their times: a slow one ends hours after a quick one that began later, "
    "clocks of two scrapers differ by seconds, a backfill writes a day of last month, and two runs end within one second. A "
    "high-water mark over any of these times passes by what comes beneath it.",
    "PO07": "Storage shows everything a writer does: data files before their manifest, manifests half written, runs that are "
    "still going on, runs whose writer died. A poller sees all of it in passing, and what looks finished for a second may never "
    "be. Loading it means rows of data that, by contract, does not exist.",
    "PO08": "One run among thousands has a damaged file or the wrong permissions. A poller that raises at it never reaches the "
    "runs behind; one that skips it in silence loses it; one that marks it as done never tries again when it is repaired.",
    "PO09": "A poll that takes longer than its interval meets the next one, a deployment lets the old and the new version run "
    "side by side, and somebody starts one by hand. Both list the same runs, and both find them not loaded.",
    "PO10": "S3 lists a thousand keys a page, which is more than any test has and less than a month of production has. Pages "
    "fail one by one, too: an error after the first one must not look like the end of the list.",
    "PO11": "A bucket is shared: there is shop and shop-eu, somebody's notes.txt, an export job's folder, a source whose name "
    "has a space or a slash in it. Matching by prefix or by substring takes what belongs to others, or misses what does not "
    "look like the example.",
    "PO12": "Ten runs a day are three and a half thousand after a year. A poll that opens every manifest again, or compares "
    "every run with every row, becomes slower each day until it takes longer than its interval, or until the bill for requests "
    "is noticed.",
    "PO13": "When a machine loses power, or a virtual one is stopped hard, what the operating system had promised to write is "
    "gone: a renamed file can be there and empty. Without fsync the checkpoint of a poller is exactly such a file.",
    "RD01": "When a flush fails halfway, Quarry's writer does it again, and the events of the first attempt can be in storage "
    "as well. By contract a reader deduplicates by event_id. A reader that adds up files counts these events twice.",
    "RD02": "A strict run has a snapshot for each event, a streaming one for each batch, and each run may cross midnight. Code "
    "that was written against a buffered run with one snapshot reads the first or the newest and takes that for all.",
    "RD03": "An artifact is written in chunks, and the record that commits it comes last. If the scraper dies before, the chunks "
    "stay. They look like data, and the size in a commit record is not always what the chunks add up to.",
    "RD04": "Reads fail: a reset connection, half a body, a key that was listed and is gone a moment later. If a reader takes a "
    "failed read for an absent file, a run is loaded without a part of its data and marked as done.",
    "RD05": "The policy under which a run is stored is a setting of the scraper, and somebody will change it for reasons of "
    "speed. The same items must then give the same rows. Whatever counts files, or expects one, breaks on that day.",
    "RD06": "Ids come from customers, URLs and file names, so they have spaces, slashes, percent signs and umlauts. In "
    "storage they are escaped, in storage_path they are not, and the two forms are alike just long enough for the tests to pass.",
    "RD07": "A batch call takes 25 rows, and test data has three. One scraped page with an embedded image makes a line of many megabytes; a newer Quarry adds fields and event "
    "types; a scraper emits null. A reader with a limit on lines, or a strict parser, stops at the first of these.",
    "RD08": "A run may decide that there is nothing to do, or find nothing: a shop that is closed, a feed that has not changed. "
    "It has no item partition at all. Code that lists it gets an error, fails the message, and ends in the dead-letter queue "
    "with a run that is perfectly fine.",
    "PB01": "A wrapper that announces at the start, beside the run or in a finally clause is right nearly always, since runs end "
    "soon. When one is slow, or could not be written, consumers are told of data that is not there, and what they do then is "
    "the subject of EB18.",
    "PB02": "Consumers act on what the notification says: they open storage_path, choose a table by category, skip by outcome. "
    "A day taken from the clock is wrong for a run that crossed midnight, and a path put together by hand is wrong for the first "
    "id that needs escaping.",
    "PB03": "A message pasted together in a shell script is JSON until an id contains a quote, a backslash or a line break. "
    "Then the message is lost for every consumer at once, or, worse, says something else.",
    "PB04": "SNS throttles, times out and fails over like every service, and the announcement is a single call. If it is not "
    "tried again, and the wrapper still exits with 0, neither cron nor CI nor anybody else knows that consumers were never told.",
    "PB05": "Whoever announces only successful runs decides for all consumers. Those that count failures, alert on them or clean "
    "up after them wait for messages that never come, and cannot tell a failed run from one that did not start.",
    "PB06": "Subscriptions filter by message attributes, before the consumer sees anything. An attribute that is missing or "
    "spelt differently from the message makes SNS drop the message for exactly those who asked for it, without a trace.",
    "FUZZ": "Production combines what the other checks do one at a time: a duplicate of a run that failed, while two workers are "
    "busy and one of them is killed. Nobody writes down these combinations. They are drawn, played, and made as small as "
    "they can be while they still fail.",
}


def in_short(check_id: str) -> str:
    """What a check states, why, and the usual fix; empty for a check that is not known here."""
    check = checks_by_id().get(check_id)
    if check is None:
        return ""
    fix = f"The usual fix: {check.fix}" if check.fix else ""
    return "\n\n".join(part for part in (check.states, WHY.get(check.id, ""), fix) if part)


def checks_by_id() -> dict[str, Check]:
    """Every check, FUZZ too, which imports Hypothesis."""
    from pytest_quarry.checks.catalogue import by_id
    from pytest_quarry.checks.fuzzing import FUZZ

    return {**by_id(), FUZZ.id: FUZZ}
