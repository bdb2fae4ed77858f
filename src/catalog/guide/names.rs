//! Names of channels, so that those which mean the same are the same.

/// What says how good a picture is, and nothing about the channel.
const QUALITIES: &[&str] = &[
    "sd", "hd", "fhd", "uhd", "qhd", "4k", "8k", "hevc", "h264", "h265", "x265", "raw", "vip", "hq", "lq",
    "fullhd", "60fps", "50fps", "1080p", "1080i", "1080", "720p", "720", "576p", "2160p", "hdr", "backup",
];

/// A name without what providers put around it: `UK: BBC One ᴴᴰ`, `BBC ONE FHD [backup]` and `bbc one` are the same. `+1` stays, since it
/// is another channel. Empty when nothing is left.
#[must_use]
pub fn normalised(name: &str) -> String {
    let name = without_country(name.trim());
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for character in name.chars() {
        match character {
            '+' => {
                words.push(std::mem::take(&mut word));
                word.push_str("plus");
            }
            '&' => words.extend([std::mem::take(&mut word), "and".to_owned()]),
            // Within a word they are of no meaning: "l'equipe", "m.tv".
            '\'' | '’' | '.' => {}
            'ᴴ' | 'ᴰ' | 'ᵁ' | 'ᶠ' | '⁴' | 'ᴷ' | 'ˢ' => {}
            other if other.is_alphanumeric() => word.extend(other.to_lowercase()),
            _other => words.push(std::mem::take(&mut word)),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    let matters = |word: &&String| !QUALITIES.contains(&word.as_str());
    if words.iter().any(|word| matters(&word)) {
        words.iter().filter(matters).map(String::as_str).collect()
    } else {
        words.concat()
    }
}

/// `UK: `, `|DE| `, `US - `, `[FR] ` in front of a name say from where it is.
fn without_country(name: &str) -> &str {
    let inner = name.trim_start_matches(['|', '[', '(', ' ']);
    let letters = inner.bytes().take_while(u8::is_ascii_uppercase).count();
    if !(2..=3).contains(&letters) {
        return name;
    }
    let behind = inner[letters..].trim_start();
    let marks = [":", "|", "]", ")", "- ", "▎", "┃"];
    let rest = marks.iter().find_map(|mark| behind.strip_prefix(mark)).map(str::trim);
    rest.filter(|rest| !rest.is_empty()).unwrap_or(name)
}
