//! The parts of a start that need the operating system: limits, the kernel's offer, the database, who we are.

use std::fs::File;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use tunerd::base::{Clock, WallTime};
use tunerd::config::{self, Settings};
use tunerd::control::Identity;
use tunerd::exit::ExitCode;
use tunerd::lineup::Lineup;
use tunerd::store::{self, ChannelRecord, Database, NewPlaylist, OpenError, PRIMARY_NAME, TakenOver};
use tunerd::uring::{self, Probe};

use super::Failure;

const FRIENDLY_NAME_KEY: &str = "identity.friendly_name";
const DEVICE_ID_KEY: &str = "identity.device_id";
const DEVICE_AUTH_KEY: &str = "identity.device_auth";
/// hdhriptv remembers its playlist, whoever names it.
const PLAYLIST_KEY: &str = "playlist.url";

/// Raises the limit on open files as far as this process may: a viewer is a descriptor.
pub(crate) fn raise_open_files_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        log::debug!("the limit of {soft} open files stays: {error}");
    }
}

/// What the kernel offers.
pub(crate) fn kernel() -> Result<Probe, Failure> {
    uring::probe().map_err(|error| Failure::because(ExitCode::Kernel, &error))
}

/// Held for as long as this process lives: two on one database would both write health, and each would take the other's channels.
pub(crate) fn lock(database: &Path) -> Result<Flock<File>, Failure> {
    let path = database.with_extension("lock");
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(ExitCode::Database, format!("{} cannot be locked: {error}", path.display()))
    };
    let file = File::options().create(true).append(true).open(&path).map_err(|error| failed(&error))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_file, errno)| {
        if errno != Errno::EWOULDBLOCK {
            return failed(&errno.desc());
        }
        // It may be ending; then starting again helps.
        let sentence =
            format!("another tunerd uses {}; give this one a DB_PATH of its own", database.display());
        Failure::new(ExitCode::Failure, sentence)
    })
}

/// Opens the database. One of hdhriptv in its place is imported, and kept as a copy beside it.
pub(crate) fn database(path: &Path) -> Result<Database, Failure> {
    let taken = store::take_over(path).map_err(|error| Failure::because(ExitCode::Database, &error))?;
    if let Some(TakenOver { kept, imported }) = taken {
        log::info!(
            "{} was hdhriptv's database: {imported} were imported; it is kept as {}",
            path.display(),
            kept.display()
        );
        for remark in &imported.remarks {
            log::warn!("{remark}");
        }
    }
    Database::open(path).map_err(|error: OpenError| Failure::because(ExitCode::Database, &error))
}

/// Takes over the playlists that the settings name.
pub(crate) fn playlists(database: &mut Database, settings: &Settings) -> Result<(), Failure> {
    let catalog = &settings.catalog;
    let primary = catalog.playlist_url.as_ref().map(|url| NewPlaylist {
        name: PRIMARY_NAME.to_owned(),
        url: url.expose().to_owned(),
        tuners: Some(settings.tuner.count),
        user_agent: None,
        is_enabled: true,
    });
    let others: Vec<_> = catalog
        .playlist_sources
        .iter()
        .map(|source| NewPlaylist {
            name: source.name.clone().unwrap_or_default(),
            url: source.url.expose().to_owned(),
            tuners: Some(source.tuners),
            user_agent: source.user_agent.clone(),
            is_enabled: source.is_enabled,
        })
        .collect();
    let dropped = database
        .set_playlists(primary.as_ref(), &others)
        .map_err(|error| Failure::because(ExitCode::Database, &error))?;
    for name in dropped {
        log::warn!(
            "the playlist {name:?} is no longer among PLAYLIST_SOURCES; it is kept, but switched off: DELETE /api/playlists/… \
             removes it with all that was read from it"
        );
    }
    Ok(())
}

/// The channels the database holds, as it holds them and as cores have them, so that the first request of all finds them.
pub(crate) fn lineup(
    database: &mut Database,
    settings: &Settings,
) -> Result<(Vec<ChannelRecord>, Lineup), Failure> {
    let failed = |error: tunerd::store::StoreError| Failure::because(ExitCode::Database, &error);
    let channels = database.lineup().map_err(failed)?;
    let profiles = database.profiles().map_err(failed)?;
    // What is wrong with them is said when they are read again, by who serves the channels.
    let (profiles, _complaints) =
        tunerd::catalog::Profiles::new(&profiles, settings.catalog.playlist_profile.as_deref());
    let playlists = database.playlists().map_err(failed)?;
    let tuners = tunerd::catalog::tuners(&playlists, settings.tuner.count);
    let lineup = tunerd::catalog::lineup(&channels, &profiles).with_tuners(tuners);
    Ok((channels, lineup))
}

/// Who we are to clients: what was set now, else what was remembered, else something new. The result is remembered,
/// so that clients find the same device after a restart.
pub(crate) fn identity(
    settings: &Settings,
    database: &mut Database,
    clock: &Clock,
) -> Result<Identity, Failure> {
    let failed = |error: tunerd::store::StoreError| Failure::because(ExitCode::Database, &error);
    let mut remembered = |key: &str, now: Option<String>, new: &dyn Fn() -> String| {
        let value = match now {
            Some(value) => value,
            None => database.setting(key)?.unwrap_or_else(new),
        };
        database.set_setting(key, &value)?;
        Ok(value)
    };
    let discovery = &settings.discovery;
    let seed = seed(clock.wall_at(clock.now()));
    let friendly_name = remembered(FRIENDLY_NAME_KEY, discovery.friendly_name.clone(), &|| {
        config::FRIENDLY_NAME_DEFAULT.to_owned()
    })
    .map_err(failed)?;
    let device_id = remembered(DEVICE_ID_KEY, discovery.device_id.map(|id| format!("{id:08X}")), &|| {
        format!("{:08X}", config::generate_device_id(u32::try_from(seed & 0xFFFF_FFFF).expect("32 bits")))
    })
    .map_err(failed)?;
    // Of one that is given now the settings have told already.
    if discovery.device_id.is_none() {
        doubt_remembered(&device_id);
    }
    let given_auth = discovery.device_auth.as_ref().map(|secret| secret.expose().to_owned());
    let device_auth = remembered(DEVICE_AUTH_KEY, given_auth, &|| {
        format!("{seed:016x}{:016x}", seed.rotate_left(29) ^ 0x9E37_79B9_7F4A_7C15)
    })
    .map_err(failed)?;
    Ok(Identity { friendly_name, device_id, device_auth, tuner_count: settings.tuner.count as usize })
}

/// Another program may have made the id up that the database remembers. It stays, since clients know the device by it.
fn doubt_remembered(device_id: &str) {
    let is_valid = config::parse_device_id(device_id).is_ok_and(config::device_id_is_valid_hdhomerun);
    if !is_valid {
        log::warn!(
            "the device id {device_id:?} in the database has a wrong check digit, so programs built on libhdhomerun \
             overlook it; DEVICE_ID sets another"
        );
    }
}

/// How this process is called in `Via`: as no other is, on this machine or elsewhere.
pub(crate) fn own_name(clock: &Clock) -> String {
    format!("tunerd-{:016x}", seed(clock.wall_at(clock.now())))
}

/// The settings, with the playlist that an imported database remembers where none is named.
pub(crate) fn with_remembered_playlist(
    mut settings: Settings,
    database: &Database,
) -> Result<Settings, Failure> {
    let failed = |error: tunerd::store::StoreError| Failure::because(ExitCode::Database, &error);
    let catalog = &mut settings.catalog;
    if catalog.playlist_url.is_none()
        && catalog.playlist_sources.is_empty()
        && let Some(text) = database.setting(PLAYLIST_KEY).map_err(failed)?
    {
        catalog.playlist_url = config::remembered_playlist(&text);
        match &catalog.playlist_url {
            Some(_) => log::info!("PLAYLIST_URL is not set: the playlist is the one that was imported"),
            None => log::warn!("the playlist's address that was imported is none; set PLAYLIST_URL"),
        }
    }
    Ok(settings)
}

/// Something that differs from device to device: an identity is no secret, it only must not collide.
fn seed(now: WallTime) -> u64 {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    machine
        .bytes()
        .chain(random.bytes())
        .fold(now.unix_nanos() ^ u64::from(std::process::id()), |seed, byte| {
            (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        })
}
