//! What is written for readers is so: tests that are named exist, what the reference exported has its place, settings
//! are there and have the defaults that are told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A row that has no test says why with one of these.
const REASONS: [&str; 2] = ["Does not apply:", "Missing:"];

/// Every name that the reference's streaming package exports: types, functions, methods, errors.
const REFERENCE: &[&str] = &[
    "ErrSessionMaxSubscribers",
    "ErrSessionNoSources",
    "ErrSessionNotFound",
    "ErrSessionRecoveryAlreadyPending",
    "ErrSlowClientLagged",
    "ErrNoTunersAvailable",
    "ErrProbePreempted",
    "ErrRingClosed",
    "SanitizeURLForLog",
    "BackgroundProber",
    "NewBackgroundProber",
    "BackgroundProber.Close",
    "BackgroundProber.Enabled",
    "BackgroundProber.ProbeOnce",
    "BackgroundProber.Run",
    "ChannelsProvider",
    "ChannelsProvider.GetByGuideNumber",
    "ChannelsProvider.ListSources",
    "ChannelsProvider.MarkSourceFailure",
    "ChannelsProvider.MarkSourceSuccess",
    "ChannelsProvider.UpdateSourceProfile",
    "ChunkPublisher",
    "ChunkPublisher.PublishChunk",
    "ChunkPublisherCopyAware",
    "ChunkPublisherCopyAware.CopiesPublishedChunkData",
    "ChunkRing",
    "NewChunkRing",
    "NewChunkRingWithLimits",
    "NewChunkRingWithLimitsAndStartupHint",
    "ChunkRing.Close",
    "ChunkRing.CopiesPublishedChunkData",
    "ChunkRing.PublishChunk",
    "ChunkRing.ReadFrom",
    "ChunkRing.Snapshot",
    "ChunkRing.StartSeqByLagBytes",
    "ChunkRing.WaitForChange",
    "ChurnSummary",
    "ClientStreamStatus",
    "Config",
    "DrainWaitTelemetry",
    "FFmpegProducer",
    "NewFFmpegProducer",
    "FFmpegProducer.Describe",
    "FFmpegProducer.Start",
    "FFmpegProducerConfig",
    "Handler",
    "NewHandler",
    "Handler.ClearAllSourceHealth",
    "Handler.ClearSourceHealth",
    "Handler.Close",
    "Handler.CloseWithContext",
    "Handler.ServeHTTP",
    "Handler.TriggerSessionRecovery",
    "Handler.TunerStatusSnapshot",
    "Lease",
    "Lease.Release",
    "Pool",
    "NewPool",
    "Pool.Acquire",
    "Pool.AcquireClient",
    "Pool.AcquireProbe",
    "Pool.Capacity",
    "Pool.InUseCount",
    "Pool.SetPreemptSettleDelay",
    "Pool.Snapshot",
    "ProbeChannelsProvider",
    "ProbeChannelsProvider.ListEnabled",
    "ProbeChannelsProvider.ListSources",
    "ProbeChannelsProvider.MarkSourceFailure",
    "ProbeChannelsProvider.MarkSourceSuccess",
    "ProbeCloseTelemetry",
    "ProbeTunerUsage",
    "ProbeTunerUsage.AcquireProbe",
    "ProberConfig",
    "Producer",
    "Producer.Start",
    "Producer.Describe",
    "Pump",
    "NewPump",
    "Pump.Run",
    "Pump.Stats",
    "PumpConfig",
    "PumpStats",
    "ReadResult",
    "ReadResult.Release",
    "RingChunk",
    "Session",
    "SessionManager",
    "NewSessionManager",
    "SessionManager.ClearAllSourceHealth",
    "SessionManager.ClearSourceHealth",
    "SessionManager.Close",
    "SessionManager.CloseWithContext",
    "SessionManager.HasActiveOrPendingSession",
    "SessionManager.HistorySnapshot",
    "SessionManager.Snapshot",
    "SessionManager.Subscribe",
    "SessionManager.SubscribeImmediate",
    "SessionManager.TriggerRecovery",
    "SessionManager.WaitForDrain",
    "SessionManagerConfig",
    "SessionSubscription",
    "SessionSubscription.Close",
    "SessionSubscription.Stats",
    "SessionSubscription.Stream",
    "SharedSessionHistory",
    "SharedSessionSourceHistory",
    "SharedSessionStats",
    "SharedSessionSubscriberHistory",
    "SubscriberStats",
    "TunerStatus",
    "TunerStatusSnapshot",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The parts of a text between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The cells of a row of a table, or nothing.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix("| ")?.strip_suffix('|')?;
    Some(row.split('|').map(str::trim).collect())
}

/// Files in which a test of this name may stand: `a::b::name` is in `a/b.rs`, in `a/b/mod.rs` or in `a/b/main.rs`, of the
/// crate or of the tests, and a module `tests` may stand in its parent.
fn homes(modules: &[&str]) -> Vec<PathBuf> {
    let mut homes = Vec::new();
    let parent = modules.strip_suffix(&["tests"]).unwrap_or(modules);
    for folder in ["src", "tests"] {
        for modules in [modules, parent] {
            let base = root().join(folder).join(modules.join("/"));
            homes.extend([base.with_extension("rs"), base.join("mod.rs"), base.join("main.rs")]);
        }
    }
    homes
}

/// Whether a text holds a test of this name.
fn holds_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let attributes = before.trim_end().lines().rev().map(str::trim).take_while(|line| line.starts_with("#["));
    attributes.into_iter().any(|line| line == "#[test]")
}

fn texts(modules: &[&str]) -> impl Iterator<Item = String> {
    homes(modules).into_iter().filter_map(|home| fs::read_to_string(home).ok())
}

fn is_test(path: &str) -> bool {
    let modules: Vec<_> = path.split("::").collect();
    let Some((name, modules)) = modules.split_last() else { return false };
    // The last module may stand in its parent's file.
    let is_inline = |(inner, outer): (&&str, &[&str])| {
        texts(outer).any(|text| text.contains(&format!("mod {inner} {{")) && holds_test(&text, name))
    };
    texts(modules).any(|text| holds_test(&text, name)) || modules.split_last().is_some_and(is_inline)
}

#[test]
fn every_row_of_providers_and_of_the_reference_is_tested_or_says_why_not() {
    let text = read("tests/README.md");
    let (_, tables) = text.split_once("\n## What providers do").unwrap();
    assert!(tables.contains("\n## What clients need") && tables.contains("\n## What the reference did"));
    let (mut wrong, mut rows, mut tests) = (Vec::new(), 0, 0);
    for section in tables.split("\n### ").skip(1) {
        let subject = section.lines().next().unwrap();
        let mut last = 0;
        for line in section.lines().filter_map(cells) {
            let [row, _what, named, remark] = line[..] else { panic!("{subject}: {line:?}") };
            let Ok(number) = row.trim_end_matches(char::is_alphabetic).parse::<u32>() else { continue };
            if number != last && number != last + 1 {
                wrong.push(format!("{subject}: row {row} does not follow row {last}"));
            }
            last = number;
            rows += 1;
            let named: Vec<_> = quoted(named).collect();
            tests += named.len();
            if named.is_empty() && !REASONS.iter().any(|reason| remark.starts_with(reason)) {
                wrong.push(format!("{subject}, row {row}: neither a test nor a reason"));
            }
            wrong.extend(
                named
                    .iter()
                    .filter(|path| !is_test(path))
                    .map(|path| format!("{subject}, row {row}: no test {path}")),
            );
        }
        assert!(last > 0, "{subject} has no rows");
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(rows > 200 && tests > rows, "{rows} rows with {tests} tests were found");
}

#[test]
fn every_name_that_the_reference_exports_has_its_place() {
    let text = read("src/reference.rs");
    let mut told = Vec::new();
    for row in text.lines().filter_map(|line| cells(line.strip_prefix("//! ")?)) {
        let [names, here] = row[..] else { panic!("{row:?}") };
        let before = told.len();
        told.extend(quoted(names));
        let is_row = told.len() > before;
        assert!(!is_row || here.starts_with("none: ") || here.contains('['), "{names} leads nowhere");
    }
    let missing: Vec<_> = REFERENCE.iter().filter(|name| !told.contains(name)).collect();
    let unknown: Vec<_> = told.iter().filter(|name| !REFERENCE.contains(name)).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:?}, unknown: {unknown:?}");
    let mut once = told.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), told.len(), "a name has one place");
}

#[test]
fn the_readme_shows_settings_that_exist_with_their_defaults() {
    let example = read("systemd/tunerd.env");
    let settings: BTreeMap<&str, &str> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .filter(|(name, _)| {
            name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit())
        })
        .map(|(name, value)| (name, value.trim_matches('"')))
        .collect();
    let readme = read("README.md");
    let (_, table) = readme.split_once("| Setting | Default | |\n").unwrap();
    let mut shown = 0;
    for row in table.lines().skip(1).map_while(cells) {
        let [name, default, _what] = row[..] else { panic!("{row:?}") };
        let name = quoted(name).next().unwrap();
        assert_eq!(settings.get(name), Some(&default), "{name}");
        shown += 1;
    }
    assert!(shown > 30, "{shown} settings were found");
    for name in quoted(&readme).filter(|name| {
        name.contains('_') && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    }) {
        let is_send = name == "SEND_ZC";
        assert!(is_send || settings.contains_key(name), "{name} is no setting");
    }
}

/// The crate's documentation leads through files and functions that exist, and through none twice.
#[test]
fn the_walk_of_a_completion_is_through_functions_that_exist() {
    let text = read("src/lib.rs");
    let (_, walk) = text.split_once("# The walk of one completion").unwrap();
    let (_, walk) = walk.split_once("```text\n").unwrap();
    let (walk, _) = walk.split_once("//! ```").unwrap();
    let mut files = BTreeSet::new();
    for line in walk.lines() {
        let (file, rest) = line.trim_start_matches("//! ").split_once(' ').unwrap();
        let code = read(&format!("src/{file}"));
        let (functions, _about) = rest.trim_start().split_once("  ").unwrap();
        for function in functions.split(' ') {
            let is_defined = [format!("fn {function}("), format!("fn {function}<")];
            assert!(is_defined.iter().any(|start| code.contains(start)), "{file} has no function {function}");
        }
        assert!(files.insert(file), "{file} is visited twice");
    }
    assert!(files.len() >= 8, "{files:?}");
}

/// Lines of `text` that a hunk of a patch expects in a row, with what it adds left out.
fn expected_by(hunk: &str) -> String {
    let lines = hunk.lines().skip(1).filter(|line| line.starts_with([' ', '-']));
    lines.map(|line| format!("{}\n", &line[1..])).collect()
}

#[test]
fn every_planted_bug_fits_the_code_and_is_told_of() {
    let told = read("tests/README.md");
    let mut count = 0;
    for bug in fs::read_dir(root().join("tests/planted")).unwrap().map(|entry| entry.unwrap().path()) {
        let (name, patch) = (bug.file_stem().unwrap().to_str().unwrap(), fs::read_to_string(&bug).unwrap());
        assert!(
            told.contains(&format!("\n| `{name}`: ")),
            "tests/README.md does not say what has found {name}"
        );
        for file in patch.split("\n--- a/").skip(1) {
            let (path, hunks) = file.split_once('\n').unwrap();
            let Ok(code) = fs::read_to_string(root().join(path)) else {
                panic!("{name}: there is no {path}")
            };
            for hunk in hunks.split("\n@@ ").skip(1) {
                assert!(code.contains(&expected_by(hunk)), "{name} does not fit {path} any more:\n{hunk}");
            }
        }
        count += 1;
    }
    assert!(count >= 8, "{count} bugs are planted");
}
