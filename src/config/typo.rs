//! Names that are nearly right.

use super::table::{WITHOUT_EFFECT, settings};

/// Names longer than this are not looked at: no setting's is near.
const NAME_BYTES_MAX: usize = 64;

/// The setting that was probably meant by a variable that is none.
///
/// The first letter must be right and one or two others may be wrong, missing, too many or exchanged: the
/// environment is full of variables that are none of our business. Short names are not guessed at all.
pub(super) fn meant_by(name: &str) -> Option<&'static str> {
    if !name.contains('_') || name.len() > NAME_BYTES_MAX || WITHOUT_EFFECT.contains(&name) {
        return None;
    }
    let allowed = |known: &str| if known.len() < 8 { 1 } else { 2 };
    settings()
        .map(|setting| setting.env)
        .filter(|known| known.as_bytes().first() == name.as_bytes().first())
        .map(|known| (distance(name.as_bytes(), known.as_bytes()), known))
        .filter(|&(distance, known)| distance > 0 && distance <= allowed(known))
        .min()
        .map(|(_, known)| known)
}

/// Letters to change, add, drop or exchange with their neighbour to make one name the other.
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut before_last = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, &byte) in one.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &wanted) in other.iter().enumerate() {
            let changed = last[column] + usize::from(byte != wanted);
            let mut least = changed.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0 && column > 0 && byte == other[column - 1] && wanted == one[row - 1];
            if swapped {
                least = least.min(before_last[column - 1] + 1);
            }
            current.push(least);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_one_or_two_letters_is_noticed() {
        for (name, meant) in [
            ("STAL_DETECT", Some("STALL_DETECT")),
            ("STALL_DETCET", Some("STALL_DETECT")),
            ("STALL_DETECTED", Some("STALL_DETECT")),
            ("STARTUP_TIMEOUTS", Some("STARTUP_TIMEOUT")),
            ("SESION_IDLE_TIMEOT", Some("SESSION_IDLE_TIMEOUT")),
            ("TUNER_COUNTS", Some("TUNER_COUNT")),
            ("DB_PATHS", Some("DB_PATH")),
            ("DB_PAINT", None),
            ("STAL_DETET_X", None),
            ("TALL_DETECT", None),
            ("STALL_DETECT", None),
            ("LOG_DIR", None),
            ("CORE", None),
            ("LC_ALL", None),
            ("HTTP_PROXY", None),
            ("INVOCATION_ID", None),
            ("XDG_RUNTIME_DIR", None),
        ] {
            assert_eq!(meant_by(name), meant, "{name}");
        }
    }

    #[test]
    fn distances_count_exchanged_neighbours_once() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "ba", 1),
            ("abc", "abd", 1),
            ("kitten", "sitting", 3),
            ("ca", "abc", 3),
        ] {
            assert_eq!(distance(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
            assert_eq!(distance(other.as_bytes(), one.as_bytes()), expected, "{other} {one}");
        }
    }
}
