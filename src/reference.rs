//! Where everything has gone that the reference exported.
//!
//! tunerd takes the place of an older program, the reference, and keeps its settings, routes, words and figures. Whoever
//! knows the reference's streaming package finds here what does the work of each of its exported names. It was made of
//! goroutines that block, locks, and interfaces between them; here a [core](crate::engine::Core) is one thread that
//! takes events in turn, and policy is pure: a machine takes an event and the time, and says what to do. Much of what
//! was exported is therefore no call any more but an event, an action or a state.
//!
//! # Tune requests
//!
//! | Reference | Here |
//! |---|---|
//! | `Handler`, `NewHandler` | [`engine::Core`], which accepts connections itself; [`http::stream_route`] says which are for a stream |
//! | `Handler.ServeHTTP` | [`http::stream_head`] begins an answer, [`http::StreamError`] has every way in which one is refused |
//! | `Handler.Close`, `Handler.CloseWithContext` | [`CoreCommand::Drain`], which has a deadline |
//! | `Handler.TunerStatusSnapshot` | [`status::TunerStatusSnapshot::new`] |
//! | `Handler.TriggerSessionRecovery` | [`CoreCommand::TriggerRecovery`] |
//! | `Handler.ClearSourceHealth`, `Handler.ClearAllSourceHealth` | [`Database::reset_channel_health`], [`Database::reset_health`], and then [`CoreCommand::ClearHealth`] |
//! | `Config` | [`engine::Params`], made of [`config::Settings`] |
//! | `ChannelsProvider` | none: a core is given a [`lineup::Lineup`] and never asks the database |
//! | `ChannelsProvider.GetByGuideNumber` | [`Lineup::find`](crate::lineup::Lineup::find) |
//! | `ChannelsProvider.ListSources` | [`session::Sources`], which is answered from memory |
//! | `ChannelsProvider.MarkSourceFailure`, `ChannelsProvider.MarkSourceSuccess` | [`Registry::fail`](crate::health::Registry::fail), [`Registry::ok`](crate::health::Registry::ok) |
//! | `ChannelsProvider.UpdateSourceProfile` | [`Registry::note_profile`](crate::health::Registry::note_profile) |
//!
//! # Sessions
//!
//! | Reference | Here |
//! |---|---|
//! | `SessionManager`, `NewSessionManager` | [`engine::Core`]: a channel lives on one core, its [`home`](crate::engine::home) |
//! | `SessionManagerConfig` | [`session::Params`], and [`engine::Params`] for what surrounds it |
//! | `SessionManager.Subscribe` | [`session::Event::Joined`], answered by [`session::Action::Admit`] or [`session::Action::Refuse`] |
//! | `SessionManager.SubscribeImmediate` | none: whoever joins waits without blocking anybody |
//! | `SessionSubscription`, `SessionSubscription.Stream` | none: a viewer is a position in a [`ring::Ring`] and a socket, and its core sends |
//! | `SessionSubscription.Stats` | [`SessionSnapshot`], of a [`CoreSnapshot`] |
//! | `SessionSubscription.Close` | [`session::Event::Left`] |
//! | `SessionManager.HasActiveOrPendingSession` | [`health::Event::Candidates`], which tells the prober whether the channel is tuned |
//! | `SessionManager.TriggerRecovery` | [`session::Machine::trigger`] |
//! | `SessionManager.ClearSourceHealth`, `SessionManager.ClearAllSourceHealth` | [`Registry::clear`](crate::health::Registry::clear) |
//! | `SessionManager.Close`, `SessionManager.CloseWithContext` | [`session::Event::Drain`] for each session, [`CoreCommand::Drain`] for all |
//! | `SessionManager.WaitForDrain` | [`Core::is_drained`](crate::engine::Core::is_drained); [`status::DrainWait`] counts the waits |
//! | `SessionManager.Snapshot` | [`CoreCommand::Snapshot`], answered with a [`CoreSnapshot`] |
//! | `SessionManager.HistorySnapshot` | [`history::merge`] of what [`history::ClosedSessions`] keeps and what goes on |
//! | `ErrSessionMaxSubscribers` | [`StreamError::MaxSubscribers`](crate::http::StreamError::MaxSubscribers) |
//! | `ErrSessionNoSources` | [`session::Failure::NoSources`] |
//! | `ErrSessionNotFound`, `ErrSessionRecoveryAlreadyPending` | [`session::TriggerError`], and [`engine::TriggerRefusal`] for who asks from outside |
//! | `ErrSlowClientLagged` | [`CloseReason::SlowClientLagged`](crate::session::history::CloseReason::SlowClientLagged) |
//!
//! # Tuners
//!
//! | Reference | Here |
//! |---|---|
//! | `Pool`, `NewPool` | [`tuner::Pool`], [`Pool::new`](crate::tuner::Pool::new) |
//! | `Pool.Acquire`, `Pool.AcquireClient`, `Pool.AcquireProbe` | [`pool::Event::Request`] of a [`pool::Kind`] |
//! | `Pool.Capacity`, `Pool.InUseCount`, `Pool.Snapshot` | [`Pool::capacity`](crate::tuner::Pool::capacity), [`Pool::in_use`](crate::tuner::Pool::in_use), [`Pool::snapshot`](crate::tuner::Pool::snapshot) |
//! | `Pool.SetPreemptSettleDelay` | none: it is given to [`Pool::new`](crate::tuner::Pool::new) and never changes |
//! | `Lease`, `Session` | [`tuner::Lease`] |
//! | `Lease.Release` | [`pool::Event::Release`] |
//! | `ErrNoTunersAvailable` | [`pool::Action::Refuse`], [`session::Failure::NoTuners`] |
//! | `ErrProbePreempted` | [`pool::Action::Preempt`], which the prober is told as [`health::Event::Preempted`] |
//!
//! # Sources
//!
//! | Reference | Here |
//! |---|---|
//! | `Producer`, `Producer.Start`, `Producer.Describe` | [`source::Opening`], chosen by [`source::plan`]; [`SourceFacts::producer`](crate::session::history::SourceFacts::producer) names it |
//! | `FFmpegProducer`, `NewFFmpegProducer`, `FFmpegProducer.Describe` | [`ffmpeg::Run`] |
//! | `FFmpegProducer.Start` | [`ffmpeg::arguments`], and [`ControlRequest::StartChild`] |
//! | `FFmpegProducerConfig` | [`ffmpeg::FfmpegParams`] |
//! | `SanitizeURLForLog` | [`redact::url`](crate::base::redact::url), and [`redact::text`](crate::base::redact::text) for texts that hold addresses |
//!
//! # Bytes on their way
//!
//! | Reference | Here |
//! |---|---|
//! | `ChunkPublisher`, `ChunkPublisher.PublishChunk` | none: bytes are received where viewers are sent from, [`ring::Ring`] |
//! | `ChunkPublisherCopyAware`, `ChunkPublisherCopyAware.CopiesPublishedChunkData` | none: nothing is copied |
//! | `Pump`, `NewPump`, `Pump.Run` | [`ts::Aligner`] finds the packets, [`Egress`](crate::engine::Egress) says when viewers are sent to |
//! | `PumpConfig` | [`Egress`](crate::engine::Egress) |
//! | `Pump.Stats`, `PumpStats` | [`SessionSnapshot`] has the figures, [`source::watch`] notices stalls |
//! | `ChunkRing` | [`ring::Ring`]; [`ChunkRing`](crate::ring::ChunkRing) is the reference's, for whoever wants chunks |
//! | `NewChunkRing`, `NewChunkRingWithLimits`, `NewChunkRingWithLimitsAndStartupHint` | [`ChunkRing::new`](crate::ring::ChunkRing::new), [`ChunkRing::with_limits`](crate::ring::ChunkRing::with_limits), [`ChunkRing::with_limits_and_startup_hint`](crate::ring::ChunkRing::with_limits_and_startup_hint) |
//! | `ChunkRing.PublishChunk`, `ChunkRing.CopiesPublishedChunkData` | [`ChunkRing::publish`](crate::ring::ChunkRing::publish), [`ChunkRing::copies_published_chunk_data`](crate::ring::ChunkRing::copies_published_chunk_data) |
//! | `ChunkRing.ReadFrom`, `ChunkRing.WaitForChange` | [`ChunkRing::read_from`](crate::ring::ChunkRing::read_from), [`ChunkRing::wait_for_change`](crate::ring::ChunkRing::wait_for_change) |
//! | `ChunkRing.Snapshot`, `ChunkRing.StartSeqByLagBytes`, `ChunkRing.Close` | [`ChunkRing::snapshot`](crate::ring::ChunkRing::snapshot), [`ChunkRing::start_seq_by_lag_bytes`](crate::ring::ChunkRing::start_seq_by_lag_bytes), [`ChunkRing::close`](crate::ring::ChunkRing::close) |
//! | `ReadResult`, `ReadResult.Release` | [`chunk_ring::ReadResult`], [`ReadResult::release`](crate::ring::chunk_ring::ReadResult::release) |
//! | `RingChunk` | [`chunk_ring::Chunk`] |
//! | `ErrRingClosed` | [`chunk_ring::RingClosed`] |
//!
//! # Probing in the background
//!
//! | Reference | Here |
//! |---|---|
//! | `BackgroundProber`, `NewBackgroundProber` | [`health::Prober`] |
//! | `BackgroundProber.Enabled` | an interval of zero: [`health::Params::interval`](crate::health::Params::interval) |
//! | `BackgroundProber.Run`, `BackgroundProber.ProbeOnce` | [`Prober::handle`](crate::health::Prober::handle), whenever [`Prober::next_deadline`](crate::health::Prober::next_deadline) has come |
//! | `BackgroundProber.Close` | [`health::Event::Drain`]; closing a source never blocks, so nothing is queued |
//! | `ProberConfig` | [`health::Params`]; sources are opened as sessions open them |
//! | `ProbeChannelsProvider`, `ProbeChannelsProvider.ListEnabled` | [`health::Event::Channels`] |
//! | `ProbeChannelsProvider.ListSources` | [`health::Event::Candidates`] |
//! | `ProbeChannelsProvider.MarkSourceFailure`, `ProbeChannelsProvider.MarkSourceSuccess` | [`health::Action::RecordFailure`], [`health::Action::RecordOk`] |
//! | `ProbeTunerUsage`, `ProbeTunerUsage.AcquireProbe` | [`health::Action::Lease`] |
//!
//! # Status
//!
//! The rows of the document are written as the reference named their fields; they are made of plain copies.
//!
//! | Reference | Here |
//! |---|---|
//! | `TunerStatusSnapshot`, `TunerStatus`, `ClientStreamStatus`, `ChurnSummary` | [`status::TunerStatusSnapshot`], which writes them all |
//! | `SharedSessionStats` | [`SessionSnapshot`] |
//! | `SubscriberStats` | [`ViewerSnapshot`](crate::engine::snapshot::ViewerSnapshot) |
//! | `SharedSessionHistory` | [`history::SessionRecord`] |
//! | `SharedSessionSourceHistory` | [`history::SourceWindow`] |
//! | `SharedSessionSubscriberHistory` | [`history::SubscriberWindow`] |
//! | `DrainWaitTelemetry` | [`status::DrainWait`] |
//! | `ProbeCloseTelemetry` | none: closes never block, its counters are written and stay 0 |
//!
//! [`Database::reset_channel_health`]: crate::store::Database::reset_channel_health
//! [`Database::reset_health`]: crate::store::Database::reset_health
//! [`config::Settings`]: crate::config::Settings
//! [`engine::Core`]: crate::engine::Core
//! [`engine::Params`]: crate::engine::Params
//! [`engine::TriggerRefusal`]: crate::engine::TriggerRefusal
//! [`CoreCommand::ClearHealth`]: crate::engine::CoreCommand::ClearHealth
//! [`CoreCommand::Drain`]: crate::engine::CoreCommand::Drain
//! [`CoreCommand::Snapshot`]: crate::engine::CoreCommand::Snapshot
//! [`CoreCommand::TriggerRecovery`]: crate::engine::CoreCommand::TriggerRecovery
//! [`ControlRequest::StartChild`]: crate::engine::ControlRequest::StartChild
//! [`CoreSnapshot`]: crate::engine::snapshot::CoreSnapshot
//! [`SessionSnapshot`]: crate::engine::snapshot::SessionSnapshot
//! [`http::stream_route`]: crate::http::stream_route
//! [`http::stream_head`]: crate::http::stream_head
//! [`http::StreamError`]: crate::http::StreamError
//! [`history::merge`]: crate::session::history::merge
//! [`history::ClosedSessions`]: crate::session::history::ClosedSessions
//! [`history::SessionRecord`]: crate::session::history::SessionRecord
//! [`history::SourceWindow`]: crate::session::history::SourceWindow
//! [`history::SubscriberWindow`]: crate::session::history::SubscriberWindow
//! [`session::Action::Admit`]: crate::session::Action::Admit
//! [`session::Action::Refuse`]: crate::session::Action::Refuse
//! [`session::Event::Drain`]: crate::session::Event::Drain
//! [`session::Event::Joined`]: crate::session::Event::Joined
//! [`session::Event::Left`]: crate::session::Event::Left
//! [`session::Failure::NoSources`]: crate::session::Failure::NoSources
//! [`session::Failure::NoTuners`]: crate::session::Failure::NoTuners
//! [`session::Machine::trigger`]: crate::session::Machine::trigger
//! [`session::Params`]: crate::session::Params
//! [`session::Sources`]: crate::session::Sources
//! [`session::TriggerError`]: crate::session::TriggerError
//! [`pool::Action::Preempt`]: crate::tuner::pool::Action::Preempt
//! [`pool::Action::Refuse`]: crate::tuner::pool::Action::Refuse
//! [`pool::Event::Release`]: crate::tuner::pool::Event::Release
//! [`pool::Event::Request`]: crate::tuner::pool::Event::Request
//! [`pool::Kind`]: crate::tuner::pool::Kind
//! [`tuner::Lease`]: crate::tuner::Lease
//! [`lineup::Lineup`]: crate::lineup::Lineup
//! [`tuner::Pool`]: crate::tuner::Pool
//! [`ffmpeg::FfmpegParams`]: crate::source::ffmpeg::FfmpegParams
//! [`ffmpeg::Run`]: crate::source::ffmpeg::Run
//! [`ffmpeg::arguments`]: crate::source::ffmpeg::arguments
//! [`source::Opening`]: crate::source::Opening
//! [`source::plan`]: crate::source::plan
//! [`source::watch`]: crate::source::watch
//! [`ts::Aligner`]: crate::ts::Aligner
//! [`ring::Ring`]: crate::ring::Ring
//! [`chunk_ring::Chunk`]: crate::ring::chunk_ring::Chunk
//! [`chunk_ring::ReadResult`]: crate::ring::chunk_ring::ReadResult
//! [`chunk_ring::RingClosed`]: crate::ring::chunk_ring::RingClosed
//! [`health::Action::Lease`]: crate::health::Action::Lease
//! [`health::Action::RecordFailure`]: crate::health::Action::RecordFailure
//! [`health::Action::RecordOk`]: crate::health::Action::RecordOk
//! [`health::Event::Candidates`]: crate::health::Event::Candidates
//! [`health::Event::Channels`]: crate::health::Event::Channels
//! [`health::Event::Drain`]: crate::health::Event::Drain
//! [`health::Event::Preempted`]: crate::health::Event::Preempted
//! [`health::Params`]: crate::health::Params
//! [`health::Prober`]: crate::health::Prober
//! [`status::DrainWait`]: crate::status::DrainWait
//! [`status::TunerStatusSnapshot`]: crate::status::TunerStatusSnapshot
//! [`status::TunerStatusSnapshot::new`]: crate::status::TunerStatusSnapshot::new
