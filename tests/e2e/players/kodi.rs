//! Kodi, on a screen in memory and with a sound device that is none. It is told what to do by JSON-RPC.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Deserializer, Value, json};

use super::stage::SLATE;
use super::{Shown, as_anybody};
use crate::kit::{LONG, Stopwatch, free_port, until};

/// Where Debian has it. What `kodi` is beside that asks for a desktop.
const PROGRAMS: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/kodi/kodi.bin", "/usr/lib/aarch64-linux-gnu/kodi/kodi.bin"];
const SCREEN_FILE: &str = "Xvfb_screen0";
/// How often it is looked whether it plays.
const LOOK: Duration = Duration::from_millis(250);
/// What it says of the machine it is on, and not of what it plays.
const OF_THE_MACHINE: [&str; 16] = [
    "Sink Timer",
    "ActiveAE",
    "CActiveAESink",
    "Zeroconf",
    "VDPAU",
    "VAAPI",
    "DBus",
    "GUIFont",
    "Unable to load",
    "CDisplaySettings",
    "CSettings",
    "PulseAudio",
    "failed to configure renderer",
    "failed to set priority",
    // Its guide is the vendor's, on the internet.
    "my.hdhomerun.com",
    "resolve host name",
];

/// What Kodi plays.
pub(super) enum Way<'a> {
    /// An address, as a file.
    Address(&'a str),
    /// The first channel that IPTV Simple finds in a playlist.
    Playlist(&'a str),
    /// The first channel of the first tuner that HDHomeRun finds in the network.
    Tuner,
}

impl Way<'_> {
    const fn addon(&self) -> Option<&'static str> {
        match self {
            Self::Address(_) => None,
            Self::Playlist(_) => Some("pvr.iptvsimple"),
            Self::Tuner => Some("pvr.hdhomerun"),
        }
    }
}

/// Where it is, if it is installed with what it needs.
pub(super) fn program() -> Option<&'static str> {
    let has = |name: &str| Path::new("/usr/bin").join(name).is_file();
    PROGRAMS.into_iter().find(|path| Path::new(path).is_file() && has("Xvfb") && has("pulseaudio"))
}

/// A program that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already, unless something has failed.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

struct Kodi {
    child: Running,
    _sound: Running,
    screen: Running,
    home: tempfile::TempDir,
    wire: TcpStream,
    asked: u64,
    unread: Vec<u8>,
}

impl Kodi {
    /// Starts it, and waits until it can be told something.
    fn start(program: &str, way: &Way) -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = free_port();
        furnish(home.path(), way, port);
        let (screen, display) = screen(home.path());
        let socket = home.path().join("sound");
        let mut sound = as_anybody("pulseaudio");
        sound.args([
            "-n",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
            "-L",
            "module-null-sink",
            "-L",
        ]);
        sound.arg(format!("module-native-protocol-unix auth-anonymous=1 socket={}", socket.display()));
        let sound = Running(at_home(&mut sound, home.path()).spawn().unwrap());
        until(LONG, "there is a sound device", || socket.exists().then_some(()));
        let mut kodi = as_anybody(program);
        kodi.arg("--standalone").env("DISPLAY", display).env("LIBGL_ALWAYS_SOFTWARE", "1");
        kodi.env("PULSE_SERVER", format!("unix:{}", socket.display()));
        let child = Running(at_home(&mut kodi, home.path()).spawn().unwrap());
        let wire = until(LONG * 3, "Kodi listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        wire.set_read_timeout(Some(LONG)).unwrap();
        Self { child, _sound: sound, screen, home, wire, asked: 0, unread: Vec::new() }
    }

    /// Has it do something, and gives the answer.
    fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.try_to_ask(method, parameters).unwrap_or_else(|| panic!("Kodi refuses {method}"))
    }

    /// The same, which it may refuse.
    fn try_to_ask(&mut self, method: &str, parameters: &Value) -> Option<Value> {
        self.asked += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.asked, "method": method, "params": parameters});
        self.wire.write_all(request.to_string().as_bytes()).unwrap();
        loop {
            let mut values = Deserializer::from_slice(&self.unread).into_iter::<Value>();
            if let Some(Ok(value)) = values.next() {
                let read = values.byte_offset();
                self.unread.drain(..read);
                // It also tells what happens.
                if value["id"] == self.asked {
                    return value.get("result").cloned();
                }
                continue;
            }
            let mut more = [0; 4096];
            let count = self.wire.read(&mut more).unwrap();
            assert!(count > 0, "Kodi ended");
            self.unread.extend_from_slice(&more[..count]);
        }
    }

    fn open(&mut self, way: &Way) {
        let item = match *way {
            Way::Address(address) => json!({"file": address}),
            Way::Playlist(_) | Way::Tuner => {
                let addon = way.addon().unwrap();
                self.ask("Addons.SetAddonEnabled", &json!({"addonid": addon, "enabled": true}));
                let channel = until(LONG * 2, "Kodi has found channels", || {
                    std::thread::park_timeout(LOOK);
                    // It looks after its tuners when it likes.
                    let answer = self.try_to_ask("PVR.GetChannelGroups", &json!({"channeltype": "tv"}))?;
                    let group = answer["channelgroups"][0]["channelgroupid"].as_i64()?;
                    let answer = self.try_to_ask("PVR.GetChannels", &json!({"channelgroupid": group}))?;
                    answer["channels"][0]["channelid"].as_i64()
                });
                json!({"channelid": channel})
            }
        };
        self.ask("Player.Open", &json!({"item": item}));
    }

    /// Whether it plays, and does not wait for more.
    fn plays(&mut self) -> bool {
        let labels = ["Player.Playing", "Player.Caching", "Player.HasVideo"];
        let answer = self.ask("XBMC.GetInfoBooleans", &json!({"booleans": labels}));
        answer["Player.Playing"] == true
            && answer["Player.Caching"] == false
            && answer["Player.HasVideo"] == true
    }

    /// What is on its screen.
    fn picture(&self) -> Vec<u8> {
        fs::read(self.home.path().join(SCREEN_FILE)).unwrap_or_default()
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.home.path().join(".kodi/temp/kodi.log")).unwrap_or_default())
            .into_owned()
    }
}

impl Drop for Kodi {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!(
                "--- the end of Kodi's log\n{}\n---",
                lines[lines.len().saturating_sub(60)..].join("\n")
            );
        }
        // It falls over when its screen goes first.
        let _gone = self.child.0.kill();
        let _gone = self.child.0.wait();
        let _gone = self.screen.0.kill();
    }
}

fn at_home<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    command.env("HOME", home).env("XDG_RUNTIME_DIR", home).current_dir(home);
    let said = File::create(home.join("said")).unwrap();
    command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said)
}

/// A screen in memory, and its name.
fn screen(home: &Path) -> (Running, String) {
    let mut command = as_anybody("Xvfb");
    command.args(["-displayfd", "1", "-screen", "0", "640x360x24", "-nolisten", "tcp", "-fbdir"]).arg(home);
    let mut child = at_home(&mut command, home).stdout(Stdio::piped()).spawn().unwrap();
    let mut number = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut number).unwrap();
    (Running(child), format!(":{}", number.trim()))
}

/// Makes its settings, in a folder that is its own.
fn furnish(home: &Path, way: &Way, port: u16) {
    let data = home.join(".kodi/userdata");
    let mut folders: Vec<PathBuf> = vec![home.to_owned(), home.join(".kodi"), data.clone()];
    let write = |path: PathBuf, text: String| {
        fs::write(&path, text).unwrap();
        path
    };
    let mut files = Vec::new();
    fs::create_dir_all(&data).unwrap();
    files.push(write(
        data.join("advancedsettings.xml"),
        format!("<advancedsettings version=\"1.0\"><jsonrpc><tcpport>{port}</tcpport></jsonrpc></advancedsettings>"),
    ));
    let setting = |(name, value): &(&str, &str)| format!("<setting id=\"{name}\">{value}</setting>");
    let settings = |all: &[(&str, &str)]| {
        format!("<settings version=\"2\">{}</settings>", all.iter().map(setting).collect::<String>())
    };
    let own = [
        ("services.esenabled", "true"),
        ("services.zeroconf", "false"),
        ("audiooutput.audiodevice", "PULSE:Default"),
        ("general.addonupdates", "2"),
        ("lookandfeel.enablerssfeeds", "false"),
    ];
    files.push(write(data.join("guisettings.xml"), settings(&own)));
    if let (Some(addon), Way::Playlist(playlist)) = (way.addon(), way) {
        let folder = data.join("addon_data").join(addon);
        fs::create_dir_all(&folder).unwrap();
        folders.extend([data.join("addon_data"), folder.clone()]);
        let of_addon = [("m3uPathType", "1"), ("m3uUrl", playlist), ("m3uCache", "false")];
        files.push(write(folder.join("settings.xml"), settings(&of_addon)));
    }
    if nix::unistd::geteuid().is_root() {
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        for path in folders.iter().chain(&files) {
            chown(path, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).unwrap();
        }
    }
}

/// Plays for a while from when there is a picture.
pub(super) fn play(way: &Way, time: Duration) -> Shown {
    let mut kodi = Kodi::start(program().expect("Kodi, which scripts/players installs"), way);
    let before = kodi.log().len();
    kodi.open(way);
    until(LONG, "there is a picture", || {
        std::thread::park_timeout(LOOK);
        kodi.plays().then_some(())
    });
    let watch = Stopwatch::start();
    let (mut waited, mut stood_still) = (Duration::ZERO, Duration::ZERO);
    let (mut picture, mut last) = (Vec::new(), Duration::ZERO);
    while watch.left_of(time).is_some() {
        std::thread::park_timeout(LOOK);
        let (is_playing, shown) = (kodi.plays(), kodi.picture());
        let passed = watch.elapsed() - last;
        last += passed;
        if !is_playing {
            waited += passed;
        } else if shown == picture {
            stood_still += passed;
        }
        picture = shown;
    }
    let log = kodi.log();
    let is_complaint = |line: &&str| {
        (line.contains(" error <") || line.contains("eof reading from demuxer"))
            && !OF_THE_MACHINE.iter().any(|words| line.contains(words))
    };
    let mut complaints: Vec<_> =
        log[before.min(log.len())..].lines().filter(is_complaint).map(str::to_owned).collect();
    if waited > Duration::from_secs(3) {
        complaints.push(format!("it waited for {waited:?}"));
    }
    // The slate is one picture.
    if stood_still > SLATE + Duration::from_secs(2) {
        complaints.push(format!("its picture stood still for {stood_still:?}"));
    }
    kodi.ask("Application.Quit", &json!({}));
    Shown { seconds: time.saturating_sub(waited).as_secs_f64(), complaints }
}
