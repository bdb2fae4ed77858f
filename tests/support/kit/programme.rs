//! A programme with real pictures and sound, as ffmpeg makes it.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Long enough for every recording.
pub const PROGRAMME: Duration = Duration::from_secs(40);

/// Pictures in a second of it.
pub const PROGRAMME_RATE: u32 = 25;

/// What a program says, which must succeed.
pub fn run(program: &str, arguments: &[&str]) -> (String, String) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}, which scripts/prepare installs: {error}"));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// H.264 with B pictures and a key frame every second, and AAC.
pub fn programme() -> Vec<u8> {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("programme.ts");
        let seconds = PROGRAMME.as_secs();
        let picture = format!("testsrc2=size=320x180:rate={PROGRAMME_RATE}:duration={seconds}");
        let tone = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
        let arguments = format!(
            "-v error -nostdin -f lavfi -i {picture} -f lavfi -i {tone} -c:v libx264 -preset veryfast -bf 2 -g 25 \
             -keyint_min 25 -sc_threshold 0 -b:v 700k -c:a aac -b:a 96k -muxrate 1200k -f mpegts"
        );
        let mut arguments: Vec<_> = arguments.split_whitespace().collect();
        arguments.push(path.to_str().unwrap());
        run("ffmpeg", &arguments);
        fs::read(&path).unwrap()
    };
    MADE.get_or_init(make).clone()
}
