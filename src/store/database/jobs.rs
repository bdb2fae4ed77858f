//! What jobs have done: one row for each run, the last ones only.

use rusqlite::{OptionalExtension, Row, params};

use super::Database;
use crate::base::WallTime;
use crate::store::error::StoreError;
use crate::store::records::signed;

/// Runs of one job that are remembered.
const RUNS_MAX: i64 = 500;
/// What is said of a run that the end of the program has cut short.
const INTERRUPTED: &str = "interrupted: the program ended while it ran";

/// A run of a job. Times are seconds since 1970, 0 is not yet.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct JobRun {
    pub run_id: i64,
    pub job_name: String,
    /// `manual` or `schedule`.
    pub triggered_by: String,
    pub started_at: i64,
    pub finished_at: i64,
    /// `running`, `success`, `error` or `canceled`.
    pub status: String,
    pub progress_cur: i64,
    pub progress_max: i64,
    pub summary: String,
    pub error: String,
}

impl JobRun {
    const COLUMNS: &str = "run_id, job_name, triggered_by, started_at, finished_at, status, progress_cur, progress_max, \
        summary, error";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            run_id: row.get(0)?,
            job_name: row.get(1)?,
            triggered_by: row.get(2)?,
            started_at: row.get(3)?,
            finished_at: row.get(4)?,
            status: row.get(5)?,
            progress_cur: row.get(6)?,
            progress_max: row.get(7)?,
            summary: row.get(8)?,
            error: row.get(9)?,
        })
    }
}

impl Database {
    /// Notes that a job has begun, and forgets the oldest runs of the same. Gives the number of the run.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn begin_run(
        &mut self,
        job_name: &str,
        triggered_by: &str,
        now: WallTime,
    ) -> Result<i64, StoreError> {
        let transaction = self.writing()?;
        let sql = "INSERT INTO job_runs (job_name, triggered_by, started_at, status) VALUES (?1, ?2, ?3, 'running')";
        transaction.prepare_cached(sql)?.execute(params![
            job_name,
            triggered_by,
            signed(now.unix_seconds())
        ])?;
        let run_id = transaction.last_insert_rowid();
        let sql = "DELETE FROM job_runs WHERE job_name = ?1 AND run_id NOT IN
            (SELECT run_id FROM job_runs WHERE job_name = ?1 ORDER BY run_id DESC LIMIT ?2)";
        transaction.prepare_cached(sql)?.execute(params![job_name, RUNS_MAX])?;
        transaction.commit()?;
        Ok(run_id)
    }

    /// Notes how far a run is.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn progress_run(&mut self, run_id: i64, current: i64, most: i64) -> Result<(), StoreError> {
        let sql = "UPDATE job_runs SET progress_cur = ?2, progress_max = ?3 WHERE run_id = ?1 AND status = 'running'";
        self.connection.prepare_cached(sql)?.execute(params![run_id, current, most])?;
        Ok(())
    }

    /// Notes how a run has ended, unless it has ended already.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn finish_run(
        &mut self,
        run_id: i64,
        status: &str,
        summary: &str,
        error: &str,
        now: WallTime,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE job_runs SET status = ?2, summary = ?3, error = ?4, finished_at = ?5
            WHERE run_id = ?1 AND status = 'running'";
        self.connection.prepare_cached(sql)?.execute(params![
            run_id,
            status,
            summary,
            error,
            signed(now.unix_seconds())
        ])?;
        Ok(())
    }

    /// Ends the runs that the end of the program has cut short. Gives how many.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn interrupt_runs(&mut self, now: WallTime) -> Result<usize, StoreError> {
        let sql =
            "UPDATE job_runs SET status = 'error', error = ?1, finished_at = ?2 WHERE status = 'running'";
        let count =
            self.connection.prepare_cached(sql)?.execute(params![INTERRUPTED, signed(now.unix_seconds())])?;
        Ok(count)
    }

    /// One run.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn job_run(&self, run_id: i64) -> Result<Option<JobRun>, StoreError> {
        let sql = format!("SELECT {} FROM job_runs WHERE run_id = ?1", JobRun::COLUMNS);
        Ok(self.connection.prepare_cached(&sql)?.query_row([run_id], JobRun::read).optional()?)
    }

    /// Runs of a job, or of all, the newest first.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn job_runs(
        &self,
        job_name: Option<&str>,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<JobRun>, StoreError> {
        let sql = format!(
            "SELECT {} FROM job_runs WHERE ?1 IS NULL OR job_name = ?1 ORDER BY run_id DESC LIMIT ?2 OFFSET ?3",
            JobRun::COLUMNS
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let runs = statement.query_map(params![job_name, limit, offset], JobRun::read)?;
        Ok(runs.collect::<Result<_, _>>()?)
    }
}

impl Database {
    /// Has all sources count as never looked at. Gives how many were looked at.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn forget_probes(&mut self) -> Result<usize, StoreError> {
        let sql = "UPDATE channel_sources SET last_probe_at = 0 WHERE last_probe_at <> 0";
        Ok(self.connection.prepare_cached(sql)?.execute([])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> WallTime {
        WallTime::from_unix_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_run_is_remembered_from_its_beginning_to_its_end() {
        let mut database = Database::in_memory().unwrap();
        let run_id = database.begin_run("playlist_sync", "manual", at(5)).unwrap();
        database.progress_run(run_id, 1, 3).unwrap();
        let running = database.job_run(run_id).unwrap().unwrap();
        assert_eq!((running.status.as_str(), running.progress_cur, running.progress_max), ("running", 1, 3));
        database.finish_run(run_id, "success", "items=3", "", at(7)).unwrap();
        database.finish_run(run_id, "canceled", "", "", at(8)).unwrap();
        database.progress_run(run_id, 2, 3).unwrap();
        let run = database.job_run(run_id).unwrap().unwrap();
        let expected = JobRun {
            run_id,
            job_name: "playlist_sync".to_owned(),
            triggered_by: "manual".to_owned(),
            started_at: 5,
            finished_at: 7,
            status: "success".to_owned(),
            progress_cur: 1,
            progress_max: 3,
            summary: "items=3".to_owned(),
            error: String::new(),
        };
        assert_eq!(run, expected);
        assert_eq!(database.job_run(99).unwrap(), None);
    }

    #[test]
    fn runs_that_were_cut_short_say_so_and_old_ones_are_forgotten() {
        let mut database = Database::in_memory().unwrap();
        let other = database.begin_run("auto_prioritize", "schedule", at(1)).unwrap();
        for second in 0..510 {
            let run_id = database.begin_run("playlist_sync", "schedule", at(second)).unwrap();
            database.finish_run(run_id, "success", "", "", at(second)).unwrap();
        }
        assert_eq!(database.interrupt_runs(at(600)), Ok(1));
        let run = database.job_run(other).unwrap().unwrap();
        assert_eq!((run.status.as_str(), run.finished_at), ("error", 600));
        assert!(run.error.starts_with("interrupted"), "{run:?}");
        assert_eq!(database.job_runs(Some("playlist_sync"), 1000, 0).unwrap().len(), 500);
        let newest = database.job_runs(None, 2, 1).unwrap();
        assert_eq!(newest.iter().map(|run| run.started_at).collect::<Vec<_>>(), [508, 507]);
    }
}
