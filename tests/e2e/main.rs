//! The program from outside: the binary is started with settings and a database of its own, a provider is played to it,
//! and it is judged by what viewers, administrators and the service manager see.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use support::{hdhriptv, kit, tsgen};

mod admin_doors;
mod answers;
mod backoff;
mod changes;
mod clients;
mod confidence;
mod cores;
mod dashboards;
mod datagrams;
mod discovery;
mod doctor;
mod doors;
mod dropin;
mod edge;
mod ffmpeg;
mod guide;
mod hls;
mod jobs;
mod join;
mod lifecycle;
mod limits;
mod lists;
mod loops;
mod names;
mod operators;
mod pages;
mod pauses;
mod players;
mod playlists;
mod probes;
mod profiles;
mod providers;
mod rules;
mod slow_control;
mod sources;
mod starts;
mod status;
mod storage;
mod swarm;
mod tls;
mod top;
mod tracks;
mod upnp;
mod viewers;
mod watch;
