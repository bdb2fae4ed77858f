//! The programme association table (2.4.4.3): which programmes there are and where their PMTs are.

use crate::ts::packet::Pid;
use crate::ts::psi::section::{Section, SectionError};

/// One section of a PAT.
#[derive(Clone, Copy, Debug)]
pub struct Pat<'buf> {
    section: Section<'buf>,
}

impl<'buf> Pat<'buf> {
    /// The table's identifier.
    pub const TABLE_ID: u8 = 0x00;

    /// Views a section as a PAT.
    ///
    /// # Errors
    /// When it is another table.
    pub fn parse(section: Section<'buf>) -> Result<Self, SectionError> {
        if section.table_id() == Self::TABLE_ID {
            Ok(Self { section })
        } else {
            Err(SectionError::Table(section.table_id()))
        }
    }

    /// The transport stream's identifier.
    #[must_use]
    pub const fn transport_stream_id(self) -> u16 {
        self.section.table_id_extension()
    }

    /// The programmes and the PIDs of their PMTs. The network's own entry (programme 0) is left out.
    pub fn programmes(self) -> impl Iterator<Item = (u16, Pid)> + use<'buf> {
        self.section.body().chunks_exact(4).filter_map(|entry| {
            let number = u16::from_be_bytes([entry[0], entry[1]]);
            (number != 0).then(|| (number, Pid::from_field([entry[2], entry[3]])))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::testing::section;

    #[test]
    fn programmes_are_listed_without_the_network() {
        let body = [0, 0, 0xE0, 0x10, 0, 1, 0xF0, 0x00, 0x12, 0x34, 0xE1, 0x01, 9];
        let bytes = section(0x00, 77, 3, &body);
        let pat = Pat::parse(Section::parse(&bytes).unwrap()).unwrap();
        assert_eq!(pat.transport_stream_id(), 77);
        let programmes: Vec<_> = pat.programmes().map(|(number, pid)| (number, pid.get())).collect();
        assert_eq!(programmes, [(1, 0x1000), (0x1234, 0x101)]);
    }

    #[test]
    fn another_table_is_not_a_pat() {
        let bytes = section(0x02, 1, 0, &[0; 8]);
        let error = Pat::parse(Section::parse(&bytes).unwrap()).unwrap_err();
        assert_eq!(error, SectionError::Table(0x02));
    }
}
