//! Languages of lists (RFC 5646) as transport streams write them (ISO 639-2, as ISO/IEC 13818-1, 2.6.18 wants it).

use crate::source::hls::merge::Language;

/// The three letters of a language tag, if its language is one that has them.
pub(super) fn of_tag(tag: &str) -> Option<Language> {
    let first = tag.split(['-', '_']).next()?.trim().to_ascii_lowercase();
    let letters = match first.len() {
        2 => {
            CODES.split_whitespace().find_map(|pair| pair.strip_prefix(first.as_str())?.strip_prefix(':'))?
        }
        _three_or_none => first.as_str(),
    };
    let letters: Language = letters.as_bytes().try_into().ok()?;
    letters.iter().all(u8::is_ascii_lowercase).then_some(letters)
}

/// ISO 639-1 and the terminological code of ISO 639-2.
const CODES: &str = "
    aa:aar ab:abk ae:ave af:afr ak:aka am:amh an:arg ar:ara as:asm av:ava ay:aym az:aze ba:bak be:bel bg:bul bh:bih bi:bis
    bm:bam bn:ben bo:bod br:bre bs:bos ca:cat ce:che ch:cha co:cos cr:cre cs:ces cu:chu cv:chv cy:cym da:dan de:deu dv:div
    dz:dzo ee:ewe el:ell en:eng eo:epo es:spa et:est eu:eus fa:fas ff:ful fi:fin fj:fij fo:fao fr:fra fy:fry ga:gle gd:gla
    gl:glg gn:grn gu:guj gv:glv ha:hau he:heb hi:hin ho:hmo hr:hrv ht:hat hu:hun hy:hye hz:her ia:ina id:ind ie:ile ig:ibo
    ii:iii ik:ipk in:ind io:ido is:isl it:ita iu:iku iw:heb ja:jpn jv:jav ka:kat kg:kon ki:kik kj:kua kk:kaz kl:kal km:khm
    kn:kan ko:kor kr:kau ks:kas ku:kur kv:kom kw:cor ky:kir la:lat lb:ltz lg:lug li:lim ln:lin lo:lao lt:lit lu:lub lv:lav
    mg:mlg mh:mah mi:mri mk:mkd ml:mal mn:mon mr:mar ms:msa mt:mlt my:mya na:nau nb:nob nd:nde ne:nep ng:ndo nl:nld nn:nno
    no:nor nr:nbl nv:nav ny:nya oc:oci oj:oji om:orm or:ori os:oss pa:pan pi:pli pl:pol ps:pus pt:por qu:que rm:roh rn:run
    ro:ron ru:rus rw:kin sa:san sc:srd sd:snd se:sme sg:sag sh:hbs si:sin sk:slk sl:slv sm:smo sn:sna so:som sq:sqi sr:srp
    ss:ssw st:sot su:sun sv:swe sw:swa ta:tam te:tel tg:tgk th:tha ti:tir tk:tuk tl:tgl tn:tsn to:ton tr:tur ts:tso tt:tat
    tw:twi ty:tah ug:uig uk:ukr ur:urd uz:uzb ve:ven vi:vie vo:vol wa:wln wo:wol xh:xho yi:yid yo:yor za:zha zh:zho zu:zul
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_two_letters_becomes_three_and_what_has_none_has_no_language() {
        for (tag, expected) in [
            ("en", Some("eng")),
            ("de-AT", Some("deu")),
            ("PT_br", Some("por")),
            ("fra", Some("fra")),
            ("und", Some("und")),
            ("zh-Hant", Some("zho")),
            ("qaa", Some("qaa")),
            ("", None),
            ("x", None),
            ("zz", None),
            ("a:", None),
            ("12a", None),
            ("english", None),
            ("日本", None),
        ] {
            let letters = of_tag(tag);
            assert_eq!(
                letters.as_ref().map(|letters| letters.as_slice()),
                expected.map(str::as_bytes),
                "{tag}"
            );
        }
        assert_eq!(CODES.split_whitespace().filter(|pair| pair.len() != 6).count(), 0);
    }
}
