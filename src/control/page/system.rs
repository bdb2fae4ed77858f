//! The page "System": what this program runs on, and what its settings make of it.

use crate::control::params::{About, SettingNow};
use crate::engine::snapshot::CoreSnapshot;

use super::html::{Piece, escaped, push};
use super::words::{count, long};

/// What the page is made of.
pub(in crate::control) struct SystemPage<'a> {
    pub(in crate::control) about: &'a About,
    pub(in crate::control) cores: &'a [CoreSnapshot],
    /// What the process has in memory now, if the kernel says so.
    pub(in crate::control) resident_kib: Option<u64>,
    /// How long it has run.
    pub(in crate::control) uptime: std::time::Duration,
}

impl SystemPage<'_> {
    pub(super) fn pieces(&self) -> Vec<Piece> {
        let head = format!(
            "<h1>System</h1><p>tunerd {} has run for {}.</p>",
            env!("CARGO_PKG_VERSION"),
            long(self.uptime)
        );
        vec![
            Piece::new("head", head),
            Piece::new("cores", self.cores()),
            Piece::new("check", self.check()),
            Piece::new("settings", self.settings()),
            Piece::new("log", self.log()),
        ]
    }

    fn cores(&self) -> String {
        let rings: u64 = self.cores.iter().map(|core| core.ring_bytes).sum();
        let resident =
            self.resident_kib.map_or_else(|| "–".to_owned(), |kib| format!("{} MiB", kib.div_ceil(1024)));
        let mut html = format!(
            "<h3>Cores and memory</h3><p>{resident} in memory, and {} MiB of rings, which hold the last seconds of each open channel.</p>\
             <table><thead><tr><th class=n>Core<th class=n>Channels<th class=n>Viewers<th class=n>Sent, GiB<th class=\"n wide\">Longest turn, ms<th class=\"n wide\">Refused<th>State</tr></thead><tbody>",
            rings.div_ceil(1 << 20)
        );
        for core in self.cores {
            let viewers: usize = core.sessions.iter().map(|session| session.viewers.len()).sum();
            let hundredths = u128::from(core.counters.bytes_sent) * 100 / (1 << 30);
            let state = if core.is_saturated {
                "<span class=bad>■ has more to do than it can; takes nobody in</span>".to_owned()
            } else if core.counters.saturations > 0 {
                let times = usize::try_from(core.counters.saturations).unwrap_or(usize::MAX);
                format!("<span class=wait>▲ was full {}</span>", count(times, "time", "times"))
            } else {
                "<span class=ok>● has time to spare</span>".to_owned()
            };
            push(
                &mut html,
                format_args!(
                    "<tr><td class=n>{}<td class=n>{}<td class=n>{viewers}<td class=n>{}.{:02}<td class=\"n wide\">{}<td class=\"n wide\">{}<td>{state}</tr>",
                    core.core.0,
                    core.sessions.len(),
                    hundredths / 100,
                    hundredths % 100,
                    core.turn_longest.as_millis(),
                    core.counters.refused,
                ),
            );
        }
        html + "</tbody></table>"
    }

    fn check(&self) -> String {
        let mut html = String::from("<h3>What was found on this machine</h3><ul class=plain>");
        for line in &self.about.check {
            let class = if line.starts_with("warning:") || line.contains("does not run") {
                " class=wait"
            } else {
                ""
            };
            push(&mut html, format_args!("<li{class}>{}</li>", escaped(line.trim_start())));
        }
        html + "</ul>"
    }

    fn log(&self) -> String {
        let lines = self.about.log.lines();
        if lines.is_empty() {
            return String::new();
        }
        let lines: String = lines
            .iter()
            .rev()
            .map(|(number, line)| format!("<span id=l-{number}>{}\n</span>", escaped(line)))
            .collect();
        format!("<h3>The log, newest line first</h3><pre tabindex=0>{lines}</pre>")
    }

    fn settings(&self) -> String {
        let changed: Vec<_> = self.about.settings.iter().filter(|setting| setting.is_changed()).collect();
        let mut html = format!("<h3>{} not as by default</h3>", are(changed.len()));
        if !changed.is_empty() {
            html.push_str("<table><thead><tr><th>Setting<th>Value<th>Default<th class=wide>What it does</tr></thead><tbody>");
            for SettingNow { name, value, default, from, help } in changed {
                let default = if default.is_empty() { "–" } else { default };
                push(
                    &mut html,
                    format_args!(
                        "<tr><td>{name}<br><span class=quiet>{}</span><td class=address>{}<td class=address>{}<td class=wide>{}</tr>",
                        escaped(from),
                        escaped(value),
                        escaped(default),
                        escaped(help),
                    ),
                );
            }
            html.push_str("</tbody></table>");
        }
        let all = self.about.settings.iter().filter(|setting| !setting.is_changed());
        html.push_str("<details class=more><summary>All others</summary><table><tbody>");
        for SettingNow { name, value, help, .. } in all {
            let value = if value.is_empty() { "–" } else { value };
            push(
                &mut html,
                format_args!(
                    "<tr><td>{name}<td class=address>{}<td class=wide>{}</tr>",
                    escaped(value),
                    escaped(help)
                ),
            );
        }
        html + "</tbody></table></details>"
    }
}

fn are(settings: usize) -> String {
    match settings {
        0 => "No setting is".to_owned(),
        1 => "1 setting is".to_owned(),
        many => format!("{many} settings are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &'static str, value: &str, default: &'static str) -> SettingNow {
        SettingNow {
            name,
            value: value.to_owned(),
            default,
            from: "environment".to_owned(),
            help: "What <it> does.",
        }
    }

    #[test]
    fn what_differs_is_shown_first_and_everything_is_escaped() {
        let about = About {
            check: vec![
                "kernel: Linux 6.1 <x>".to_owned(),
                "ffmpeg: /usr/bin/ffmpeg does not run".to_owned(),
            ],
            settings: vec![setting("STALL_DETECT", "9s", "4s"), setting("TUNER_COUNT", "2", "2")],
            log: std::sync::Arc::default(),
        };
        about.log.push("level=INFO msg=\"first <x>\"\n");
        about.log.push("level=WARN msg=second\n");
        let uptime = std::time::Duration::from_secs(61);
        let page = SystemPage { about: &about, cores: &[], resident_kib: Some(20_481), uptime };
        let shown: String = page.pieces().iter().map(|piece| piece.html.as_str()).collect();
        for piece in [
            "has run for 1 min",
            "21 MiB in memory",
            "<li>kernel: Linux 6.1 &lt;x&gt;</li>",
            "<li class=wait>ffmpeg:",
            "<h3>1 setting is not as by default</h3>",
            "<tr><td>STALL_DETECT<br><span class=quiet>environment</span><td class=address>9s<td class=address>4s",
            "What &lt;it&gt; does.",
            "<pre tabindex=0><span id=l-2>level=WARN msg=second\n</span><span id=l-1>level=INFO msg=&quot;first &lt;x&gt;&quot;\n</span></pre>",
        ] {
            assert!(shown.contains(piece), "{piece}: {shown}");
        }
        let (before, after) = shown.split_once("All others").unwrap();
        assert!(!before.contains("TUNER_COUNT") && after.contains("TUNER_COUNT"), "{shown}");
    }
}
