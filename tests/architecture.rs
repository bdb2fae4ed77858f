//! The layers hold: imports go downwards only, and what is dangerous stays where it is allowed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each module and the modules it may import. `base` is allowed to everybody.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("ts", &[]),
    ("http", &[]),
    ("ring", &[]),
    ("uring", &[]),
    ("store", &["http"]),
    ("lineup", &["http"]),
    ("health", &["lineup"]),
    ("source", &["ts", "http"]),
    ("tuner", &["lineup"]),
    ("splice", &["ts"]),
    ("filler", &["ts"]),
    ("session", &["lineup"]),
    (
        "engine",
        &[
            "ts", "http", "ring", "uring", "lineup", "source", "health", "tuner", "splice", "filler",
            "session",
        ],
    ),
    ("status", &["engine", "session", "tuner", "lineup"]),
    ("catalog", &["store", "http", "lineup", "health"]),
    (
        "control",
        &[
            "engine", "status", "catalog", "store", "http", "lineup", "source", "session", "health",
            "filler", "ts",
        ],
    ),
    ("config", &[]),
    ("app", &[]),
];

/// What a module's tests use besides: a slate is a run that can be spliced.
const TESTS_MAY_ALSO_IMPORT: &[(&str, &str)] = &[("splice", "filler")];

/// Files in which `unsafe` may be written.
const MAY_BE_UNSAFE: &[&str] =
    &["src/ring/memory.rs", "src/uring/", "src/base/kernel_bytes.rs", "src/base/sockets.rs"];

/// Crates that one module alone may name.
const ONLY_IN: &[(&str, &str)] =
    &[("io_uring::", "src/uring/"), ("tokio_uring::", "src/control/"), ("rusqlite::", "src/store/")];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source file with its path from the crate's root.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    rust_files(&root.join("src"), &mut found);
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text)
        })
        .collect()
}

/// The text of a file without its line comments.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

#[test]
fn imports_go_downwards_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some((module, _)) = path.strip_prefix("src/").unwrap().split_once('/') else { continue };
        let allowed = MAY_IMPORT
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{path}: module {module} is not in the table"))
            .1;
        for imported in code(&text).split("crate::").skip(1) {
            let name: String =
                imported.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let known = MAY_IMPORT.iter().any(|(other, _)| *other == name);
            let is_for_tests =
                path.contains("/tests/") && TESTS_MAY_ALSO_IMPORT.contains(&(module, name.as_str()));
            if known && name != module && name != "base" && !allowed.contains(&name.as_str()) && !is_for_tests
            {
                wrong.push(format!("{path} imports crate::{name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the table:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_is_written_only_where_it_is_allowed() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let has_unsafe =
            code(&text).split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|w| w == "unsafe");
        if has_unsafe && !MAY_BE_UNSAFE.iter().any(|allowed| path.starts_with(allowed)) {
            wrong.push(path);
        }
    }
    assert!(wrong.is_empty(), "unsafe outside its places: {wrong:?}");
}

/// Whether the code holds a name that is not the end of a longer one, as `io_uring::` is of `tokio_uring::`.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(name)
        .any(|(start, _)| !code[..start].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
}

#[test]
fn each_foreign_machine_has_one_importer() {
    for (name, home) in ONLY_IN {
        for (path, text) in sources() {
            assert!(
                !names(&code(&text), name) || path.starts_with(home),
                "{path} names {name}; only {home} may"
            );
        }
    }
}

/// Fields that other files may change without asking their owner. A bound on lines was tried instead: it scattered one object
/// over many files, which then needed its fields to be open. The number only ever goes down.
const OPEN_FIELDS_MAX: usize = 157;

#[test]
fn state_is_private_to_its_owner() {
    let open: Vec<String> = sources()
        .iter()
        .flat_map(|(path, text)| {
            let fields = text.lines().map(str::trim).filter(|line| {
                let Some((name, _)) = line.strip_prefix("pub(crate) ").and_then(|rest| rest.split_once(':'))
                else {
                    return false;
                };
                name.chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
            });
            fields.map(|field| format!("{path}: {field}")).collect::<Vec<_>>()
        })
        .collect();
    assert!(
        open.len() <= OPEN_FIELDS_MAX,
        "{} fields are open, {OPEN_FIELDS_MAX} may be; make them private to their owner:\n{}",
        open.len(),
        open.join("\n")
    );
}

#[test]
fn files_are_finished() {
    for (path, text) in sources() {
        for word in ["todo!(", "unimplemented!(", "FIXME", "XXX"] {
            assert!(!text.contains(word), "{path} holds {word}");
        }
    }
}

/// The names of a table of Cargo.toml.
fn named_in<'manifest>(manifest: &'manifest str, table: &str) -> Vec<&'manifest str> {
    let (_, rest) = manifest.split_once(&format!("\n[{table}]\n")).unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| Some(line.split_once(" = ")?.0)).collect()
}

/// Whether any of these texts names a crate: in a path, or as a derive's or attribute's.
fn is_named(texts: &[String], dependency: &str) -> bool {
    let (path, whole) =
        (dependency.replace('-', "_") + "::", format!("use {};", dependency.replace('-', "_")));
    texts.iter().any(|text| {
        // `::bytes::` is a module of that name.
        names(text, &whole) || names(&text.replace(&format!("::{path}"), ""), &path)
    })
}

#[test]
fn every_dependency_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let of_program: Vec<String> = sources().iter().map(|(_, text)| code(text)).collect();
    let mut found = Vec::new();
    for folder in ["tests", "benches"] {
        rust_files(&root.join(folder), &mut found);
    }
    let mut of_tests: Vec<String> =
        found.iter().map(|path| code(&fs::read_to_string(path).unwrap())).collect();
    of_tests.extend(of_program.iter().cloned());
    let unused: Vec<_> = named_in(&manifest, "dependencies")
        .into_iter()
        .filter(|name| !is_named(&of_program, name))
        .chain(named_in(&manifest, "dev-dependencies").into_iter().filter(|name| !is_named(&of_tests, name)))
        .collect();
    assert!(unused.is_empty(), "nothing names {unused:?}");
}
