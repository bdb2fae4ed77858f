#![allow(
    clippy::all,
    clippy::unwrap_used,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::disallowed_methods
)]
use std::net::*;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tunerd::base::*;
use tunerd::engine::*;
use tunerd::tuner::*;
use tunerd::uring::KernelDriver;
use tunerd::*;
struct NoControl;
impl ControlPort for NoControl {
    fn request(&self, r: ControlRequest) -> Result<(), Box<ControlRequest>> {
        eprintln!("{r:?}");
        Err(Box::new(r))
    }
}
#[test]
fn serve() {
    env_logger::init();
    let url = std::env::var("SRC").unwrap();
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let zc = match std::env::var("ZC").as_deref() {
        Ok("always") => ZeroCopy::Always,
        Ok("never") => ZeroCopy::Never,
        _ => ZeroCopy::Auto,
    };
    let lag: u64 = std::env::var("LAG").ok().map(|s| s.parse().unwrap()).unwrap_or(8 << 20);
    let (mailbox, reader) = Mailbox::new().unwrap();
    let l = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let params = Params {
        session: session::Params {
            startup_timeout: Duration::from_secs(12),
            failover_total_timeout: Duration::from_secs(32),
            failovers_max: 3,
            idle_timeout: Duration::from_secs(5),
            viewers_max: 0,
        },
        egress: Egress {
            bytes: 65536,
            delay: Duration::from_millis(100),
            zero_copy: zc,
            max_blocked_write: Some(Duration::from_secs(6)),
            slow_policy: SlowPolicy::Disconnect,
            join_lag_bytes: lag,
        },
        sources: Sources {
            mode: source::Mode::Auto,
            direct: source::direct::Params {
                user_agent: "x".into(),
                connect_timeout: Duration::from_secs(3),
                header_timeout: Duration::from_secs(3),
                startup_timeout: Duration::from_secs(12),
                tls: source::direct::tls_config(&[]).unwrap(),
            },
            ffmpeg: source::ffmpeg::Params {
                log_level: source::ffmpeg::LogLevel::named("error").unwrap(),
                readrate: 1.0,
                readrate_catchup: 1.0,
                initial_burst_seconds: 1,
                input_buffer_bytes: 0,
                detection: source::ffmpeg::Detection {
                    probe_bytes: 1000000,
                    analyze: Duration::from_secs(1),
                },
                reconnect: source::ffmpeg::Reconnect {
                    enabled: false,
                    delay_max: Duration::ZERO,
                    retries_max: 0,
                    http_errors: String::new(),
                },
                rw_timeout: Duration::ZERO,
                copy_regenerate_timestamps: None,
                discard_corrupt: true,
                user_agent: String::new(),
            },
            capabilities: Arc::new(Default::default()),
            ffmpeg_path: "ffmpeg".into(),
            startup: Default::default(),
        },
        chunk_bytes: 65536,
        cores: 1,
        tuners: 64,
        preempt_settle_delay: Duration::ZERO,
    };
    let lineup = Lineup::new((0..64).map(|i| Channel {
        id: ChannelId(i + 1),
        guide_number: format!("{}", 100 + i),
        name: "x".into(),
        sources: vec![Source {
            id: SourceId(i + 1),
            item_key: "k".into(),
            url: url.replace("{}", &i.to_string()),
        }],
    }));
    let bell = reader.bell_descriptor().unwrap();
    let parts = Parts {
        id: CoreId(0),
        params,
        control: Box::new(NoControl),
        mailbox: reader,
        bell: Some(bell),
        cores: vec![mailbox],
        listeners: vec![OwnedFd::from(l)],
        lineup: Arc::new(lineup),
    };
    let mut core = Core::new(KernelDriver::new().unwrap(), parts).unwrap();
    let clock = Clock::start();
    core.run(&clock, |_| {}).unwrap();
}
