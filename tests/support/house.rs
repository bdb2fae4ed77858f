//! The structure of the source tree, read from its text: who imports whom, whose methods stand where, what is open.
//!
//! Everything here takes files as pairs of a path from the crate's root and a text, so that a rule can be tried on planted text.

use std::collections::{BTreeMap, BTreeSet};

/// A file of the source tree without its tests and comments.
pub struct File {
    pub path: String,
    /// The module's place, `["engine", "core"]` for `src/engine/core.rs`.
    pub place: Vec<String>,
    pub code: String,
    named: Vec<Named>,
    defined: Vec<(String, String)>,
}

/// The source tree.
pub struct House {
    pub files: Vec<File>,
    by_place: BTreeMap<Vec<String>, usize>,
    /// Which files each file imports something of.
    imports: Vec<BTreeSet<usize>>,
}

/// The text of a file without its line comments.
pub fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// A formatted file without what is compiled for tests only: items behind `#[cfg(test)]`, to the line that closes them.
fn without_tests(text: &str) -> String {
    let mut kept = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push(line);
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let closes = [format!("{indent}}}"), format!("{indent}}};")];
        for item in lines.by_ref() {
            let is_of_it = item.len() - item.trim_start().len() == indent.len();
            let is_attribute = item.trim_start().starts_with("#[");
            let is_whole = item.trim_end().ends_with([';', ',']) || item.ends_with('}') && item.contains('{');
            if is_of_it && (is_whole && !is_attribute || closes.iter().any(|close| item == close)) {
                break;
            }
        }
    }
    kept.join("\n")
}

fn place_of(path: &str) -> Vec<String> {
    let inside = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    let mut place: Vec<_> = inside.split('/').map(str::to_owned).collect();
    if place.last().is_some_and(|last| last == "mod" || last == "lib") {
        place.pop();
    }
    place
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// The words of a text, in order.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter| !is_word(letter)).filter(|word| !word.is_empty())
}

/// Modules that a file declares for tests only.
fn test_modules(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]"
            && let Some(next) = lines.next()
            && next.trim_end().ends_with(';')
        {
            let mut named = words(next).skip_while(|word| *word != "mod").skip(1);
            found.extend(named.next().map(str::to_owned));
        }
    }
    found
}

/// `a::{b, c::{d, e}}` as the paths it stands for.
fn expand(tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else { return vec![tree.trim().to_owned()] };
    let close = tree.rfind('}').unwrap_or(tree.len());
    let (prefix, inner) = (tree[..open].trim(), &tree[open + 1..close]);
    let (mut depth, mut part, mut parts) = (0_u32, String::new(), Vec::new());
    for letter in inner.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    parts.push(part);
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expand(part.trim())).map(|part| format!("{prefix}{part}")).collect()
}

/// A path that a file names.
struct Named {
    segments: Vec<String>,
    /// It is only passed on.
    is_passed_on: bool,
}

fn segments(path: &str) -> Vec<String> {
    let path = path.split(" as ").next().unwrap_or(path);
    path.split("::").map(|segment| segment.trim().to_owned()).filter(|segment| !segment.is_empty()).collect()
}

fn named_paths(code: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut statement: Option<(String, bool)> = None;
    for line in code.lines() {
        if let Some((text, _)) = &mut statement {
            text.push_str(line.trim());
            text.push(' ');
        } else {
            let trimmed = line.trim_start();
            let after_use = trimmed.strip_prefix("use ").map(|tree| (tree, false));
            let passed_on = trimmed.strip_prefix("pub").and_then(|after| {
                let after =
                    after.strip_prefix('(').and_then(|scope| scope.split_once(')')).map_or(after, |s| s.1);
                after.trim_start().strip_prefix("use ")
            });
            match after_use.or(passed_on.map(|tree| (tree, true))) {
                Some((tree, is_passed_on)) => statement = Some((tree.to_owned(), is_passed_on)),
                None => {
                    rest.push_str(line);
                    rest.push('\n');
                }
            }
        }
        if let Some((text, is_passed_on)) = statement.take_if(|(text, _)| text.trim_end().ends_with(';')) {
            let tree = text.trim_end().trim_end_matches(';');
            found.extend(expand(tree).iter().map(|path| Named { segments: segments(path), is_passed_on }));
        }
    }
    for root in ["crate::", "super::"] {
        for (start, _) in rest.match_indices(root) {
            if rest[..start].ends_with(|letter| is_word(letter) || letter == ':') {
                continue;
            }
            let path: String =
                rest[start..].chars().take_while(|letter| is_word(*letter) || *letter == ':').collect();
            found.push(Named { segments: segments(&path), is_passed_on: false });
        }
    }
    found
}

impl House {
    /// Of the files given; tests are left out.
    pub fn new(sources: &[(String, String)]) -> Self {
        let mut tests = BTreeSet::new();
        for (path, text) in sources {
            for module in test_modules(text) {
                tests.insert([place_of(path), vec![module]].concat());
            }
        }
        let is_test = |place: &Vec<String>| tests.iter().any(|test| place.starts_with(test));
        let files: Vec<_> = sources
            .iter()
            .filter(|(path, _)| !is_test(&place_of(path)))
            .map(|(path, text)| {
                let code = without_comments(&without_tests(text));
                let (named, defined) = (named_paths(&code), definitions(&code));
                File { path: path.clone(), place: place_of(path), code, named, defined }
            })
            .collect();
        let by_place = files.iter().enumerate().map(|(index, file)| (file.place.clone(), index)).collect();
        let mut house = Self { files, by_place, imports: Vec::new() };
        house.imports = house.find_imports();
        house
    }

    /// The module at the top, for each file in one.
    pub fn modules(&self) -> BTreeSet<&str> {
        let inside = self.files.iter().filter(|file| file.path.matches('/').count() > 1);
        inside.filter_map(|file| file.place.first().map(String::as_str)).collect()
    }

    /// The rooms of a module.
    pub fn rooms(&self, module: &str) -> BTreeSet<&str> {
        let inside = self.files.iter().filter(|file| file.place.len() > 1 && file.place[0] == module);
        inside.map(|file| file.place[1].as_str()).collect()
    }

    /// The file that a path of another file leads to.
    fn resolve(&self, from: &[String], path: &[String], depth: u32) -> Option<usize> {
        let mut at = from.to_vec();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let child = [at.as_slice(), &[first.to_owned()]].concat();
                if !self.by_place.contains_key(&child) {
                    return None;
                }
            }
        }
        while let Some(next) = rest.first() {
            let child = [at.as_slice(), std::slice::from_ref(next)].concat();
            if !self.by_place.contains_key(&child) {
                break;
            }
            at = child;
            rest = &rest[1..];
        }
        let file = *self.by_place.get(&at)?;
        let Some(item) = rest.first() else { return Some(file) };
        if depth == 0 || self.defines(file, item) {
            return Some(file);
        }
        let passed_on = self.files[file].named.iter().filter(|named| named.is_passed_on);
        for named in passed_on {
            if named.segments.last() == Some(item)
                && let Some(found) = self.resolve(&at, &named.segments, depth - 1)
            {
                return Some(found);
            }
        }
        Some(file)
    }

    fn defines(&self, file: usize, name: &str) -> bool {
        self.files[file].defined.iter().any(|(_, defined)| defined == name)
    }

    fn find_imports(&self) -> Vec<BTreeSet<usize>> {
        let of = |(index, file): (usize, &File)| {
            let named = file.named.iter().filter(|named| !named.is_passed_on);
            let found = named.filter_map(|named| self.resolve(&file.place, &named.segments, 4));
            found.filter(|imported| *imported != index).collect()
        };
        self.files.iter().enumerate().map(of).collect()
    }

    /// The files of a module that lead to one another, each circle once.
    pub fn circles(&self, module: &str) -> Vec<Vec<&str>> {
        let imports = &self.imports;
        let inside = |index: &usize| self.files[*index].place.first().is_some_and(|first| first == module);
        let reach = |from: usize| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(at) = next.pop() {
                let new: Vec<_> =
                    imports[at].iter().copied().filter(inside).filter(|to| !seen.contains(to)).collect();
                seen.extend(new.iter().copied());
                next.extend(new);
            }
            seen
        };
        let reached: Vec<_> =
            (0..self.files.len()).map(|at| if inside(&at) { reach(at) } else { BTreeSet::new() }).collect();
        let mut found = BTreeSet::new();
        for (index, reach) in reached.iter().enumerate().filter(|(index, reach)| reach.contains(index)) {
            let circle: Vec<_> = reach
                .iter()
                .filter(|other| reached[**other].contains(&index))
                .map(|at| self.files[*at].path.as_str())
                .collect();
            found.insert(circle);
        }
        found.into_iter().collect()
    }

    /// Inherent `impl` blocks of types that stand neither in the type's file nor in a child module of it.
    pub fn foreign_impls(&self) -> Vec<String> {
        let mut homes: BTreeMap<(String, String), Vec<&[String]>> = BTreeMap::new();
        for file in &self.files {
            for (_, name) in file.defined.clone() {
                let top = file.place.first().cloned().unwrap_or_default();
                homes.entry((top, name)).or_default().push(&file.place);
            }
        }
        let mut found = Vec::new();
        for file in &self.files {
            let top = file.place.first().cloned().unwrap_or_default();
            for (name, _) in inherent_impls(&file.code) {
                let Some(homes) = homes.get(&(top.clone(), name.clone())) else {
                    found.push(format!("{}: impl {name}", file.path));
                    continue;
                };
                if !homes.iter().any(|home| file.place.starts_with(home)) {
                    found.push(format!("{}: impl {name}", file.path));
                }
            }
        }
        found
    }

    /// Names of types that are defined in more than one file of a module.
    pub fn ambiguous_types(&self, module: &str) -> Vec<String> {
        let mut homes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for file in self.files.iter().filter(|file| file.place.first().is_some_and(|first| first == module)) {
            for (kind, name) in file.defined.clone() {
                // What a macro defines is named by who calls it.
                if matches!(kind.as_str(), "struct" | "enum" | "trait" | "type")
                    && name.starts_with(char::is_uppercase)
                    && !is_associated(&file.code, &name)
                {
                    homes.entry(name).or_default().push(&file.path);
                }
            }
        }
        homes
            .into_iter()
            .filter(|(_, homes)| homes.len() > 1)
            .map(|(name, homes)| format!("{name}: {}", homes.join(", ")))
            .collect()
    }

    /// Fields of types with state that others than their owner may change. A type has state when a method of its own changes it
    /// (`&mut self`); any other is plain data, and there is nothing in it to be guarded.
    pub fn open_state(&self) -> Vec<String> {
        let mut with_state = BTreeSet::new();
        for file in &self.files {
            for (name, body) in inherent_impls(&file.code) {
                if body.contains("&mut self") {
                    with_state.insert((file.place.first(), name));
                }
            }
        }
        let of = |file: &File| {
            let is_state = |name: &String| with_state.contains(&(file.place.first(), name.clone()));
            let open = fields(&file.code).into_iter().filter(|(_, scope, _)| !matches!(*scope, "" | "pub"));
            let open = open.filter(|(owner, ..)| is_state(owner));
            open.map(|(owner, _, field)| format!("{}: {owner}.{field}", file.path)).collect::<Vec<_>>()
        };
        self.files.iter().flat_map(of).collect()
    }

    /// All fields that more than their own file may read, if not everybody.
    pub fn open_fields(&self, path: &str) -> usize {
        let files = self.files.iter().filter(|file| file.path.starts_with(path));
        let is_open = |(_, scope, _): &(String, &str, String)| !matches!(*scope, "" | "pub");
        files.map(|file| fields(&file.code).iter().filter(|field| is_open(field)).count()).sum()
    }

    /// The fields of a struct with the scope each is open to; nothing is private, `pub` is everywhere.
    pub fn fields_of(&self, name: &str) -> Vec<(&str, String)> {
        let all = self.files.iter().flat_map(|file| fields(&file.code));
        all.filter(|(owner, ..)| owner == name).map(|(_, scope, field)| (scope, field)).collect()
    }

    /// Imports of an engine's room that lead upwards, by the order of rooms from the top.
    pub fn upward(&self, rooms: &[&[&str]]) -> Vec<String> {
        let floor = |index: usize| {
            let file = &self.files[index];
            if file.place.first().is_none_or(|first| first != "engine") || file.place.len() < 2 {
                return None;
            }
            let room = file.place[1].as_str();
            rooms.iter().position(|names| names.contains(&room))
        };
        let mut found = Vec::new();
        for (index, imports) in self.imports.iter().enumerate() {
            for imported in imports {
                if let (Some(from), Some(to)) = (floor(index), floor(*imported))
                    && (to < from
                        || to == from && self.files[index].place[1] != self.files[*imported].place[1])
                {
                    found.push(format!("{} imports {}", self.files[index].path, self.files[*imported].path));
                }
            }
        }
        found
    }

    /// Lines of code of each module, and of the files beside the modules under no name: without tests, comments and blank ones.
    pub fn lines(&self) -> BTreeMap<&str, usize> {
        let mut lines = BTreeMap::new();
        for file in &self.files {
            let is_inside = file.path.matches('/').count() > 1;
            let module = file.place.first().filter(|_| is_inside).map_or("", String::as_str);
            *lines.entry(module).or_default() +=
                file.code.lines().filter(|line| !line.trim().is_empty()).count();
        }
        lines
    }
}

/// Whether a `type` of this name stands inside a trait or an `impl` only.
fn is_associated(code: &str, name: &str) -> bool {
    let starts = |line: &str| {
        let at: Vec<_> = words(line).take(6).collect();
        at.windows(2).any(|pair| pair[0] == "type" && pair[1] == name)
    };
    let mut lines = code.lines().filter(|line| starts(line)).peekable();
    lines.peek().is_some() && lines.all(|line| line.starts_with(' '))
}

/// What is defined in a file: kind and name.
fn definitions(code: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in code.lines() {
        let line = line.trim_start();
        let line = line.strip_prefix("pub").map_or(line, |after| {
            let after = after
                .strip_prefix('(')
                .and_then(|scope| scope.split_once(')'))
                .map_or(after, |parts| parts.1);
            after.trim_start()
        });
        let line = ["unsafe ", "const ", "async "].iter().fold(line, |line, word| {
            if line.starts_with("const ") && !line.starts_with("const fn") {
                line
            } else {
                line.strip_prefix(word).unwrap_or(line)
            }
        });
        for kind in ["struct", "enum", "trait", "type", "union", "fn", "const", "static", "macro_rules!"] {
            if let Some(rest) = line.strip_prefix(kind).filter(|rest| rest.starts_with(' '))
                && let Some(name) = words(rest).next()
            {
                found.push((kind.to_owned(), name.to_owned()));
            }
        }
    }
    found
}

/// The types of a file's `impl` blocks that are not of a trait, with what stands in them. What a macro makes is left out.
fn inherent_impls(code: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let Some(rest) = line.trim_start().strip_prefix("impl") else { continue };
        if rest.starts_with(is_word) {
            continue;
        }
        let closes = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let mut header = rest.to_owned();
        while !header.contains('{') {
            let Some(more) = lines.next() else { break };
            header.push(' ');
            header.push_str(more);
        }
        let is_whole = header.trim_end().ends_with('}');
        let header = header.split('{').next().unwrap_or_default().trim().to_owned();
        let header = header.split(" where ").next().unwrap_or_default().to_owned();
        let body = if is_whole {
            String::new()
        } else {
            lines.by_ref().take_while(|line| *line != closes).collect()
        };
        if header.contains(" for ") {
            continue;
        }
        let after = if header.starts_with('<') {
            let mut depth = 0_i32;
            let end = header.char_indices().find(|(at, letter)| {
                match letter {
                    '<' => depth += 1,
                    '>' if !header[..*at].ends_with('-') => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            end.map_or("", |(at, _)| &header[at + 1..])
        } else {
            header.as_str()
        };
        let path = after.trim().split('<').next().unwrap_or_default();
        let name = path.rsplit("::").next().unwrap_or_default().trim();
        if !name.is_empty() && name.chars().all(is_word) {
            found.push((name.to_owned(), body));
        }
    }
    found
}

/// The fields of a file's structs: owner, scope, name.
fn fields(code: &str) -> Vec<(String, &str, String)> {
    let mut found = Vec::new();
    let mut owner: Option<(String, String)> = None;
    for line in code.lines() {
        let indent = line[..line.len() - line.trim_start().len()].to_owned();
        if let Some((name, outer)) = &owner {
            if *line == format!("{outer}}}") {
                owner = None;
                continue;
            }
            if indent.len() != outer.len() + 4 {
                continue;
            }
            let field = line.trim_start();
            let (scope, rest) = match field.strip_prefix("pub") {
                Some(after) if after.starts_with('(') => {
                    let end = after.find(')').unwrap_or(0);
                    (&field[..3 + end + 1], &after[end + 1..])
                }
                Some(after) if after.starts_with(' ') => ("pub", after),
                Some(_) | None => ("", field),
            };
            if let Some((field, _)) = rest.trim_start().split_once(':')
                && field
                    .chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
            {
                found.push((name.clone(), scope, field.to_owned()));
            }
        } else if line.trim_end().ends_with('{') {
            let mut named = words(line).skip_while(|word| *word != "struct").skip(1);
            if line.contains("struct ")
                && let Some(name) = named.next()
            {
                owner = Some((name.to_owned(), indent));
            }
        }
    }
    found
}
