//! The layers hold: imports go downwards only, and what is dangerous stays where it is allowed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use support::house::House;

/// Each module and the modules it may import. `base` is allowed to everybody.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("ts", &[]),
    ("http", &[]),
    ("ring", &[]),
    ("hls", &[]),
    ("uring", &[]),
    ("store", &["http", "lineup", "ts"]),
    ("lineup", &["ts", "http", "source"]),
    ("health", &["lineup"]),
    ("source", &["ts", "http"]),
    ("tuner", &["lineup"]),
    ("splice", &["ts"]),
    ("filler", &["ts"]),
    ("session", &["lineup", "source"]),
    (
        "engine",
        &[
            "ts", "http", "ring", "hls", "uring", "lineup", "source", "health", "tuner", "splice", "filler",
            "session",
        ],
    ),
    ("status", &["engine", "session", "tuner", "lineup", "filler", "source", "ts"]),
    ("catalog", &["store", "http", "lineup", "source", "ts"]),
    (
        "control",
        &[
            "engine", "status", "catalog", "store", "http", "lineup", "source", "session", "health",
            "filler", "ts",
        ],
    ),
    ("config", &["source", "session", "filler", "engine", "control"]),
    ("app", &[]),
];

/// What a module's tests use besides: a slate is a run that can be spliced.
const TESTS_MAY_ALSO_IMPORT: &[(&str, &str)] = &[("splice", "filler")];

/// Files in which `unsafe` may be written.
const MAY_BE_UNSAFE: &[&str] = &[
    "src/ring/memory.rs",
    "src/uring/",
    "src/base/heap.rs",
    "src/base/kernel_bytes.rs",
    "src/base/sockets.rs",
];

/// Crates that one module alone may name.
const ONLY_IN: &[(&str, &str)] = &[
    ("io_uring::", "src/uring/"),
    ("tokio_uring::", "src/control/"),
    ("rusqlite::", "src/store/"),
    // What draws on terminals is for one command; the server has nothing of it.
    ("ratatui::", "src/app/top/"),
];

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

/// The tree that is looked at: this one, unless the figures of another are asked for.
fn root() -> PathBuf {
    std::env::var_os("HOUSE_ROOT").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

/// Every source file with its path from the crate's root.
fn sources() -> Vec<(String, String)> {
    let root = &root();
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

/// Fields of types with state that others than their owner may change. A bound on lines was tried instead: it scattered one object
/// over many files, which then needed its fields to be open. The numbers only ever go down; of the engine only the context is
/// open to its parts.
const OPEN_STATE_MAX: usize = 114;
const OPEN_STATE_OF_ENGINE: &str = "src/engine/context/cx.rs: Cx.";
const OPEN_STATE_OF_ENGINE_MAX: usize = 15;

#[test]
fn state_is_private_to_its_owner() {
    let open = House::new(&sources()).open_state();
    assert!(
        open.len() <= OPEN_STATE_MAX,
        "{} fields with state are open, {OPEN_STATE_MAX} may be; make them private to their owner:\n{}",
        open.len(),
        open.join("\n")
    );
    let of_engine: Vec<_> = open.iter().filter(|field| field.starts_with("src/engine/")).collect();
    assert!(of_engine.len() <= OPEN_STATE_OF_ENGINE_MAX, "open in the engine: {of_engine:#?}");
    let others: Vec<_> = of_engine.iter().filter(|field| !field.starts_with(OPEN_STATE_OF_ENGINE)).collect();
    assert!(others.is_empty(), "these own their state, and nobody else may change it: {others:#?}");
}

#[test]
fn methods_stand_with_their_type() {
    let foreign = House::new(&sources()).foreign_impls();
    assert!(foreign.is_empty(), "methods outside their type's file and its child modules: {foreign:#?}");
}

#[test]
fn no_files_of_a_module_import_one_another() {
    let house = House::new(&sources());
    let circles: Vec<_> = house.modules().into_iter().flat_map(|module| house.circles(module)).collect();
    assert!(circles.is_empty(), "circles of imports: {circles:#?}");
}

/// The rooms of the engine from the top: imports between them go downwards, and none from one to its neighbour on the same floor.
const ENGINE_ROOMS: &[&[&str]] = &[
    &["core"],
    &["connection", "channel", "outlet", "probe"],
    &["source"],
    &["border"],
    &["context"],
    &["report"],
    &["port"],
];

#[test]
fn imports_go_downwards_in_the_engine() {
    let house = House::new(&sources());
    let rooms: Vec<_> = ENGINE_ROOMS.iter().flat_map(|names| names.iter().copied()).collect();
    let unknown: Vec<_> = house.rooms("engine").into_iter().filter(|room| !rooms.contains(room)).collect();
    assert!(unknown.is_empty(), "rooms of the engine that have no floor: {unknown:?}");
    let wrong = house.upward(ENGINE_ROOMS);
    assert!(wrong.is_empty(), "imports upwards or to a neighbour: {wrong:#?}");
}

/// Planted texts, by path: each rule must find what is wrong in them.
fn planted(files: &[(&str, &str)]) -> House {
    let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    House::new(&files.iter().map(owned).collect::<Vec<_>>())
}

#[test]
fn a_planted_circle_is_found_also_through_what_a_module_passes_on() {
    let house = planted(&[
        ("src/base/mod.rs", "pub mod one;\nmod two;\npub use two::Two;\n"),
        ("src/base/one.rs", "use super::{Other, Two};\npub struct One(Two);\n"),
        ("src/base/two.rs", "pub struct Two(Box<super::one::One>);\n"),
    ]);
    assert_eq!(house.circles("base"), [["src/base/one.rs", "src/base/two.rs"]]);
    let for_tests_only = planted(&[
        ("src/base/mod.rs", "pub mod one;\npub mod two;\n"),
        ("src/base/one.rs", "use super::two::Two;\npub struct One(Two);\n"),
        (
            "src/base/two.rs",
            "pub struct Two;\n#[cfg(test)]\nmod tests {\n    use super::super::one::One;\n}\n",
        ),
    ]);
    assert!(for_tests_only.circles("base").is_empty());
}

#[test]
fn a_planted_impl_outside_its_types_file_is_found() {
    let files = |path| {
        planted(&[
            ("src/base/one.rs", "pub(crate) struct One<T> {\n    it: T,\n}\n"),
            (path, "impl<T: Fn() -> u8> super::one::One<T> {\n    fn go(&mut self) {}\n}\n"),
        ])
    };
    assert_eq!(files("src/base/two.rs").foreign_impls(), ["src/base/two.rs: impl One"]);
    assert!(files("src/base/one/more.rs").foreign_impls().is_empty(), "a child module may");
}

#[test]
fn a_planted_open_field_is_found_where_there_is_state() {
    let files = |receiver: &str| {
        let text = format!(
            "pub(crate) struct One {{\n    pub(super) it: u8,\n    own: u8,\n}}\n\nimpl One {{\n    fn go({receiver}) {{}}\n}}\n"
        );
        planted(&[("src/base/one.rs", &text)]).open_state()
    };
    assert_eq!(files("&mut self"), ["src/base/one.rs: One.it"]);
    assert!(files("&self").is_empty(), "plain data");
}

#[test]
fn a_planted_import_upwards_or_to_a_neighbour_is_found() {
    for (from, to, is_wrong) in
        [("port", "channel", true), ("channel", "outlet", true), ("channel", "port", false)]
    {
        let (path, other) = (format!("src/engine/{from}/one.rs"), format!("src/engine/{to}/two.rs"));
        let text = format!("use crate::engine::{to}::two::Two;\n");
        let rooms = [format!("src/engine/{from}/mod.rs"), format!("src/engine/{to}/mod.rs")];
        let house = planted(&[
            ("src/engine/mod.rs", ""),
            (&rooms[0], ""),
            (&rooms[1], ""),
            (&path, &text),
            (&other, "pub struct Two;\n"),
        ]);
        assert_eq!(!house.upward(ENGINE_ROOMS).is_empty(), is_wrong, "{from} imports {to}");
    }
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

/// The dependencies of this table that none of the texts names.
fn unused<'manifest>(manifest: &'manifest str, table: &str, texts: &[String]) -> Vec<&'manifest str> {
    named_in(manifest, table).into_iter().filter(|name| !is_named(texts, name)).collect()
}

/// Paths and texts without comments of what is compiled for tests and measurements only.
fn tests_and_benches() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["tests", "benches"] {
        rust_files(&root.join(folder), &mut found);
    }
    let read = |path: PathBuf| {
        let text = code(&fs::read_to_string(&path).unwrap());
        (path.strip_prefix(root).unwrap().to_owned(), text)
    };
    found.into_iter().map(read).collect()
}

/// What the tests share.
const SUPPORT: &str = "tests/support";

#[test]
fn every_dependency_is_used() {
    let manifest = |path: &str| fs::read_to_string(root().join(path).join("Cargo.toml")).unwrap();
    let of_program: Vec<String> = sources().iter().map(|(_, text)| code(text)).collect();
    let (of_support, of_tests): (Vec<_>, Vec<_>) =
        tests_and_benches().into_iter().partition(|(path, _)| path.starts_with(SUPPORT));
    let texts = |files: Vec<(PathBuf, String)>| files.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    let (of_support, mut of_tests) = (texts(of_support), texts(of_tests));
    assert_eq!(unused(&manifest(SUPPORT), "dependencies", &of_support), [""; 0], "of {SUPPORT}");
    assert_eq!(unused(&manifest(""), "dependencies", &of_program), [""; 0], "of the program");
    of_tests.extend(of_program);
    assert_eq!(unused(&manifest(""), "dev-dependencies", &of_tests), [""; 0], "of the tests");
}

#[test]
fn a_planted_dependency_that_nothing_uses_is_found() {
    let manifest = "[package]\n\n[dependencies]\nbytes = \"1\"\ncrc = \"3\"\nlog = \"0.4\"\n\n[features]\n";
    let texts = ["use bytes::Bytes;\nuse crate::ts::crc::Sum;\n".to_owned(), "log::info!();".to_owned()];
    assert_eq!(unused(manifest, "dependencies", &texts), ["crc"], "a module of that name is not the crate");
}

#[test]
fn what_tests_share_is_one_crate_and_knows_nothing_of_what_it_judges() {
    let manifest = fs::read_to_string(root().join(SUPPORT).join("Cargo.toml")).unwrap();
    assert!(!named_in(&manifest, "dependencies").contains(&"tunerd"), "{SUPPORT} knows the crate it judges");
    assert!(manifest.contains("\npublish = false\n"), "{SUPPORT} is for nobody else");
    let attribute = concat!("#[", "path");
    let mut found = tests_and_benches();
    found.extend(sources().into_iter().map(|(path, text)| (PathBuf::from(path), code(&text))));
    let including: Vec<_> = found.iter().filter(|(_, text)| text.contains(attribute)).collect();
    let including: Vec<_> = including.into_iter().map(|(path, _)| path).collect();
    assert!(
        including.is_empty(),
        "these compile another's file as their own; {SUPPORT} is for that: {including:?}"
    );
}

/// The functions and types that a library's files offer and that nothing, neither they nor any other text, names again.
fn offered_in_vain(files: &[(PathBuf, String)], others: &[(PathBuf, String)]) -> Vec<String> {
    let words = |text: &str| {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned).collect::<Vec<_>>()
    };
    let mut counts = BTreeMap::<String, usize>::new();
    for word in files.iter().chain(others).flat_map(|(_, text)| words(text)) {
        *counts.entry(word).or_default() += 1;
    }
    let mut found = Vec::new();
    for (path, text) in files {
        for line in text.lines() {
            let Some(item) = line.trim_start().strip_prefix("pub ") else { continue };
            let item = words(item);
            let name = item.iter().find(|word| {
                !matches!(word.as_str(), "const" | "fn" | "struct" | "enum" | "type" | "static")
            });
            let Some(name) = name.filter(|name| counts[*name] == 1) else { continue };
            found.push(format!("{}: {name}", path.display()));
        }
    }
    found
}

/// The compiler takes all that a library offers for used.
#[test]
fn what_tests_share_is_used() {
    let (of_support, of_tests): (Vec<_>, Vec<_>) =
        tests_and_benches().into_iter().partition(|(path, _)| path.starts_with(SUPPORT));
    assert_eq!(offered_in_vain(&of_support, &of_tests), [""; 0]);

    let planted = [(PathBuf::from("one.rs"), "pub fn used() {}\npub const fn vain() {}\n".to_owned())];
    let user = [(PathBuf::from("two.rs"), "used();".to_owned())];
    assert_eq!(offered_in_vain(&planted, &user), ["one.rs: vain"]);
}

#[test]
fn a_name_of_a_type_means_one_thing_inside_a_module() {
    let house = House::new(&sources());
    let named =
        house.modules().into_iter().flat_map(|module| house.ambiguous_types(module)).collect::<Vec<_>>();
    assert!(named.is_empty(), "more than one type of a module has this name:\n{}", named.join("\n"));

    let twice = [
        ("src/ring/a.rs".to_owned(), "struct Slot;".to_owned()),
        ("src/ring/b.rs".to_owned(), "enum Slot {}".to_owned()),
        ("src/uring/a.rs".to_owned(), "struct Slot;".to_owned()),
    ];
    assert_eq!(House::new(&twice).ambiguous_types("ring"), ["Slot: src/ring/a.rs, src/ring/b.rs"]);
}

/// What `scripts/house` prints.
#[test]
fn the_figures_of_the_house_can_be_told() {
    let house = House::new(&sources());
    let core = house.fields_of("Core");
    let open = core.iter().filter(|(scope, _)| !scope.is_empty()).count();
    println!("fields of Core: {}, open: {open}", core.len());
    println!("open fields in the engine: {}", house.open_fields("src/engine/"));
    println!("open fields in all: {}", house.open_fields("src/"));
    let tell = |what: &str, found: Vec<String>| {
        println!("{what}: {}", found.len());
        for one in found {
            println!("    {one}");
        }
    };
    tell("open fields of types with state", house.open_state());
    tell("impl blocks outside their type's file and its child modules", house.foreign_impls());
    let circles = |module: &&str| {
        let circles = house.circles(module).into_iter().map(|circle| circle.join(" "));
        circles.collect::<Vec<_>>()
    };
    let modules = house.modules();
    tell("circles of imports inside modules", modules.iter().flat_map(circles).collect());
    tell("upward imports inside the engine", house.upward(ENGINE_ROOMS));
    let ambiguous = |module: &&str| {
        let names = house.ambiguous_types(module);
        names.into_iter().map(|name| format!("{module}: {name}")).collect::<Vec<_>>()
    };
    tell("type names that mean two things inside a module", modules.iter().flat_map(ambiguous).collect());
    let lines = house.lines();
    println!("lines of code without tests, comments and blank lines: {}", lines.values().sum::<usize>());
    for (module, lines) in lines {
        println!("    {lines:6} {}", if module.is_empty() { "beside the modules" } else { module });
    }
}
