//! `tunerd import-hdhriptv`: somebody comes over with what he has.

use std::io::Write;
use std::path::Path;

use tunerd::config::Loaded;
use tunerd::exit::ExitCode;
use tunerd::store::{self, Database, Hdhriptv, ImportOutcome, TakenOver};

use super::{Failure, start};

/// Imports a database of hdhriptv, and says what came of it.
pub(crate) fn import(loaded: &Loaded, file: &Path) -> Result<ExitCode, Failure> {
    let failed = |error: store::ImportError| Failure::because(ExitCode::Database, &error);
    let path = &loaded.settings.store.path;
    let _lock = start::lock(path)?;
    let mut lines = Vec::new();
    if store::is_same_file(file, path) {
        match store::take_over(path).map_err(failed)? {
            Some(TakenOver { kept, imported }) => {
                lines.push(format!("imported {imported} into {}", path.display()));
                lines.push(format!("hdhriptv's database is kept as {}", kept.display()));
                lines.extend(imported.remarks);
            }
            None => {
                // Says what is wrong with it, unless it is ours.
                drop(Database::open(path).map_err(|error| Failure::because(ExitCode::Database, &error))?);
                lines.push(format!("{} is tunerd's own database; nothing was changed", path.display()));
            }
        }
    } else {
        let from = Hdhriptv::open(file).map_err(failed)?;
        let mut database =
            Database::open(path).map_err(|error| Failure::because(ExitCode::Database, &error))?;
        match database.import_hdhriptv(&from).map_err(failed)? {
            ImportOutcome::Done(imported) => {
                lines.push(format!("imported {imported} into {}", path.display()));
                lines.extend(imported.remarks);
            }
            ImportOutcome::DoneBefore(before) => lines.push(format!(
                "{} has been imported into before ({before}); nothing was changed",
                path.display()
            )),
        }
    }
    lines.push(String::new());
    // Whoever reads only the first line and goes has what it wanted.
    let _closed = std::io::stdout().write_all(lines.join("\n").as_bytes());
    Ok(ExitCode::Ok)
}
