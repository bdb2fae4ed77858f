//! Who wants which slate, and where it comes from.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::control::outbox::{Asker, Outbox};
use crate::engine::CoreCommand;
use crate::filler::slate::{Slate, SlateSpec, ffmpeg_arguments, ffmpeg_arguments_without_text};

use super::cache;
use super::encoder::Encoder;

/// Slates that wait to be made. Full: the asker is told so at once, and plays the one that is built in.
const WAITING_MAX: usize = 64;
/// Askers of one slate that wait for it. Full: as above.
const ASKERS_MAX: usize = 4096;
/// Slates in memory, of some 50 KiB each. Full: the one that was asked for longest ago goes, unless a core holds
/// it; then it goes from here only.
const KEPT_MAX: usize = 64;

type SlateAnswer = Result<Arc<Slate>, String>;

/// A slate that is being made or waits for that.
struct Job {
    key: String,
    spec: SlateSpec,
    askers: Vec<Asker>,
}

#[derive(Default)]
struct SlateDesk {
    /// The first is being made.
    jobs: VecDeque<Job>,
    /// The last was asked for last.
    kept: VecDeque<(String, Arc<Slate>)>,
}

/// What is known of a slate that was asked for.
enum SlateStanding {
    Kept(Arc<Slate>),
    /// Its maker has been told, and is to be started when it is idle.
    Waits {
        is_first: bool,
    },
    Refused(&'static str),
}

/// The slates of this process.
pub(in crate::control) struct Slates {
    encoder: Encoder,
    /// Where they are kept over a restart, if anywhere.
    folder: Option<PathBuf>,
    outbox: Rc<Outbox>,
    desk: RefCell<SlateDesk>,
}

impl Slates {
    pub(in crate::control) fn new(encoder: Encoder, folder: Option<PathBuf>, outbox: Rc<Outbox>) -> Self {
        Self { encoder, folder, outbox, desk: RefCell::default() }
    }

    /// Sends a slate to who asks, now or when it has been made.
    pub(in crate::control) fn prepare(self: &Rc<Self>, asker: Asker, spec: SlateSpec) {
        let found = self.desk.borrow_mut().ask(asker, spec);
        match found {
            SlateStanding::Kept(slate) => self.answer(asker, Ok(slate)),
            SlateStanding::Waits { is_first: false } => {}
            SlateStanding::Waits { is_first: true } => {
                let maker = Rc::clone(self);
                tokio_uring::spawn(async move { maker.make_all().await });
            }
            SlateStanding::Refused(reason) => self.answer(asker, Err(reason.to_owned())),
        }
    }

    /// Ends the encoder. What waits is not made any more.
    pub(in crate::control) fn stop(&self) {
        self.encoder.stop();
    }

    /// Returns when no encoder is left.
    pub(in crate::control) async fn ended(&self) {
        self.encoder.ended().await;
    }

    fn answer(&self, (core, ticket): Asker, result: SlateAnswer) {
        self.outbox.send(core, CoreCommand::SlateReady { ticket, result });
    }

    async fn make_all(&self) {
        loop {
            let next = self.desk.borrow().jobs.front().map(|job| (job.key.clone(), job.spec.clone()));
            let Some((key, spec)) = next else { return };
            let result = self.make(&key, &spec).await;
            if let Err(reason) = &result {
                log::warn!("the slate {key} cannot be had, the one that is built in stands in: {reason}");
            }
            let askers = self.desk.borrow_mut().made(&key, &result);
            for asker in askers {
                self.answer(asker, result.clone());
            }
        }
    }

    async fn make(&self, key: &str, spec: &SlateSpec) -> SlateAnswer {
        if let Some(slate) = self.load(key).await {
            return Ok(slate);
        }
        let encoded = match self.encoder.run(&ffmpeg_arguments(spec)).await {
            Err(reason) if !spec.text.is_empty() => {
                // Most likely it finds no font.
                let plain = self.encoder.run(&ffmpeg_arguments_without_text(spec)).await;
                let plain = plain.map_err(|_same| reason.clone());
                plain.inspect(|_| log::warn!("the slate {key} has no text: {reason}"))
            }
            result => result,
        }?;
        let slate =
            Slate::parse(&encoded).map_err(|error| format!("what ffmpeg made is no slate: {error}"))?;
        if let Some(folder) = self.folder.clone() {
            let key = key.to_owned();
            let stored = aside(move || cache::store(&folder, &key, &encoded)).await;
            if let Some(Err(error)) = stored {
                log::warn!("a slate cannot be kept for the next start: {error}");
            }
        }
        Ok(Arc::new(slate))
    }

    /// From its file.
    async fn load(&self, key: &str) -> Option<Arc<Slate>> {
        let folder = self.folder.clone()?;
        let name = key.to_owned();
        let bytes = aside(move || cache::load(&folder, &name)).await??;
        match Slate::parse(&bytes) {
            Ok(slate) => Some(Arc::new(slate)),
            Err(error) => {
                log::warn!("the slate {key} is made again, its file is of no use: {error}");
                None
            }
        }
    }
}

impl SlateDesk {
    fn ask(&mut self, asker: Asker, spec: SlateSpec) -> SlateStanding {
        let key = spec.key();
        if let Some(index) = self.kept.iter().position(|(kept, _)| *kept == key) {
            let (key, slate) = self.kept.remove(index).expect("it was just found");
            self.kept.push_back((key, Arc::clone(&slate)));
            return SlateStanding::Kept(slate);
        }
        if let Some(job) = self.jobs.iter_mut().find(|job| job.key == key) {
            if job.askers.len() >= ASKERS_MAX {
                return SlateStanding::Refused("too many wait for this slate");
            }
            job.askers.push(asker);
            return SlateStanding::Waits { is_first: false };
        }
        if self.jobs.len() >= WAITING_MAX {
            return SlateStanding::Refused("too many slates wait to be made");
        }
        self.jobs.push_back(Job { key, spec, askers: vec![asker] });
        SlateStanding::Waits { is_first: self.jobs.len() == 1 }
    }

    /// Who waits for the first slate, which has been made or not.
    fn made(&mut self, key: &str, result: &SlateAnswer) -> Vec<Asker> {
        let job = self.jobs.pop_front().expect("the job that is done is the first");
        assert_eq!(job.key, key, "jobs are done in their order");
        if let Ok(slate) = result {
            if self.kept.len() >= KEPT_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back((job.key, Arc::clone(slate)));
        }
        job.askers
    }
}

/// What blocks, on a thread of its own. `None` when there is no thread to be had, or it panicked.
async fn aside<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Option<R> {
    let (sender, answer) = oneshot::channel();
    let work = move || {
        // Nobody waits any more when the process ends.
        let _unheard = sender.send(work());
    };
    std::thread::Builder::new().name("slate-file".to_owned()).spawn(work).ok()?;
    answer.await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{CoreId, Ticket};
    use crate::ts::StreamProfile;

    fn spec(number: u32) -> SlateSpec {
        let profile = StreamProfile { width: 2 * number + 2, height: 90, ..StreamProfile::default() };
        SlateSpec::of(&profile, "", true)
    }

    fn name(ticket: u64) -> Asker {
        (CoreId(0), Ticket(ticket))
    }

    #[test]
    fn who_asks_for_the_same_waits_for_the_same() {
        let mut desk = SlateDesk::default();
        assert!(matches!(desk.ask(name(1), spec(1)), SlateStanding::Waits { is_first: true }));
        assert!(matches!(desk.ask(name(2), spec(2)), SlateStanding::Waits { is_first: false }));
        assert!(matches!(desk.ask(name(3), spec(1)), SlateStanding::Waits { is_first: false }));
        let slate = Slate::built_in().unwrap();
        assert_eq!(desk.made(&spec(1).key(), &Ok(Arc::clone(&slate))), [name(1), name(3)]);
        assert_eq!(desk.made(&spec(2).key(), &Err("no".to_owned())), [name(2)]);
        assert!(
            matches!(desk.ask(name(4), spec(1)), SlateStanding::Kept(kept) if Arc::ptr_eq(&kept, &slate))
        );
        assert!(
            matches!(desk.ask(name(5), spec(2)), SlateStanding::Waits { is_first: true }),
            "a failure is not kept"
        );
    }

    #[test]
    fn a_full_queue_refuses_and_memory_is_bounded() {
        let mut desk = SlateDesk::default();
        for number in 0..u32::try_from(WAITING_MAX).unwrap() {
            assert!(matches!(desk.ask(name(1), spec(number)), SlateStanding::Waits { .. }));
        }
        assert!(matches!(desk.ask(name(1), spec(99)), SlateStanding::Refused(_)));
        let slate = Slate::built_in().unwrap();
        for number in 0..u32::try_from(WAITING_MAX).unwrap() {
            desk.made(&spec(number).key(), &Ok(Arc::clone(&slate)));
        }
        // The first is asked for again and stays; the second goes.
        assert!(matches!(desk.ask(name(1), spec(0)), SlateStanding::Kept(_)));
        desk.ask(name(1), spec(99));
        desk.made(&spec(99).key(), &Ok(slate));
        assert_eq!(desk.kept.len(), KEPT_MAX);
        assert!(matches!(desk.ask(name(1), spec(0)), SlateStanding::Kept(_)));
        assert!(matches!(desk.ask(name(1), spec(1)), SlateStanding::Waits { .. }));
    }
}
