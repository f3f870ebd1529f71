//! Requests, payments and receipts as text: to copy, to print as a QR code, to carry in a file.
//!
//! `farthing:` is followed by a word that says what it is, and the canonical bytes in the letters
//! of bech32m with its checksum. Its letters suit QR codes where they are capitals.

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Checksum, Fe1024, Hrp};
use farthing_core::wire::{self, Wire};

/// What stands before everything.
pub const SCHEME: &str = "farthing:";

/// The most bytes that are written as text: a payment with its certificate.
pub const TEXT_BYTES_MAX: usize = 4 << 10;

/// The most letters of such a text, with room for its word and line breaks.
pub const TEXT_MAX: usize = 2 * TEXT_BYTES_MAX;

/// Something that is carried as text.
pub trait Written: Wire {
    /// The word that says what it is, in small letters.
    const WORD: &'static str;
    /// The same for people: `a payment`.
    const NAME: &'static str;
}

/// Text that is not what it should be. Nothing was done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not {expected} as farthing writes it: a letter is wrong or missing; copy it again whole")]
pub struct TextError {
    /// What was expected.
    pub expected: &'static str,
}

/// Bech32m for longer texts: a slip is found as surely as chance allows, once in 2³⁰ not.
enum Long {}

impl Checksum for Long {
    type MidstateRepr = u32;
    type CorrectionField = Fe1024;

    const ROOT_GENERATOR: Fe1024 = <Bech32m as Checksum>::ROOT_GENERATOR;
    const ROOT_EXPONENTS: core::ops::RangeInclusive<usize> = <Bech32m as Checksum>::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = TEXT_MAX;
    const CHECKSUM_LENGTH: usize = <Bech32m as Checksum>::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = <Bech32m as Checksum>::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = <Bech32m as Checksum>::TARGET_RESIDUE;
}

/// Writes it, as one line; `None` for what is longer than [`TEXT_BYTES_MAX`].
#[must_use]
pub fn write<T: Written>(what: &T) -> Option<String> {
    let bytes = wire::encode(what);
    let hrp = Hrp::parse(T::WORD).ok()?;
    (bytes.len() <= TEXT_BYTES_MAX).then_some(())?;
    Some(format!("{SCHEME}{}", bech32::encode::<Long>(hrp, &bytes).ok()?))
}

/// Whether it says of itself that it is one of these, damaged or not.
#[must_use]
pub fn claims<T: Written>(text: &str) -> bool {
    let text = text.trim();
    let named = text.get(SCHEME.len()..).and_then(|rest| rest.get(..=T::WORD.len()));
    text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
        && named.is_some_and(|named| named.eq_ignore_ascii_case(&format!("{}1", T::WORD)))
}

/// Reads it. Blanks and line breaks, as mail programs make them, do no harm, and neither do words
/// around it: what a command printed can be handed on whole.
///
/// # Errors
/// [`TextError`].
pub fn read<T: Written>(text: &str) -> Result<T, TextError> {
    let wrong = TextError { expected: T::NAME };
    if text.len() > TEXT_MAX {
        return Err(wrong);
    }
    let from = begin::<T>(text).and_then(|at| text.get(at..)).ok_or(wrong)?;
    let (line, all) = (from.split_whitespace().next().unwrap_or_default(), from.split_whitespace().collect::<String>());
    read_bare(line).or_else(|| read_bare(&all)).ok_or(wrong)
}

/// Where such a text begins.
fn begin<T: Written>(text: &str) -> Option<usize> {
    let head = format!("{SCHEME}{}1", T::WORD);
    text.char_indices().map(|(at, _)| at).find(|at| {
        text.get(*at..).and_then(|rest| rest.get(..head.len())).is_some_and(|found| found.eq_ignore_ascii_case(&head))
    })
}

fn read_bare<T: Written>(text: &str) -> Option<T> {
    let parsed = CheckedHrpstring::new::<Long>(text.get(SCHEME.len()..)?).ok()?;
    let bytes: Vec<u8> = parsed.byte_iter().collect();
    let read: T = wire::decode(&bytes).ok()?;
    // One text for one thing: bits left over at the end are not looked at by the library.
    write(&read)?.eq_ignore_ascii_case(text).then_some(read)
}

#[cfg(test)]
mod tests {
    use minicbor::{Decode, Encode};

    use super::*;

    #[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
    struct Note(#[n(0)] String);

    impl Written for Note {
        const WORD: &'static str = "note";
        const NAME: &'static str = "a note";
    }

    #[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
    struct Letter(#[n(0)] String);

    impl Written for Letter {
        const WORD: &'static str = "letter";
        const NAME: &'static str = "a letter";
    }

    fn note(len: usize) -> Note {
        Note("x".repeat(len))
    }

    #[test]
    fn the_checksum_is_one() {
        Long::sanity_check();
    }

    #[test]
    fn what_is_written_is_read_in_small_letters_in_capitals_and_broken_into_lines() {
        for len in [0, 1, 2, 3, 4, 100, 1_000, TEXT_BYTES_MAX - 4] {
            let text = write(&note(len)).unwrap();
            assert_eq!(read(&text), Ok(note(len)), "{len}");
            assert_eq!(read(&text.to_uppercase()), Ok(note(len)), "{len}");
            let broken: Vec<_> = text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
            assert_eq!(read(&format!(" {}\r\n", broken.join("\n"))), Ok(note(len)), "{len}");
        }
        assert_eq!(write(&note(TEXT_BYTES_MAX)), None);
    }

    #[test]
    fn what_a_command_printed_is_read_whole_with_the_words_around_it() {
        let text = write(&note(200)).unwrap();
        let (head, tail) = text.split_at(100);
        for around in [format!("The note for you:\n\n{text}\n\nThat was it."), format!("Dear Bob,\n{head}\n{tail}\n")] {
            assert_eq!(read(&around), Ok(note(200)), "{around}");
        }
    }

    #[test]
    fn reader_refuses_every_slip_of_one_letter() {
        let text = write(&note(20)).unwrap();
        for at in 0..text.len() {
            for letter in ["q", "p", "1", ":", "b"] {
                let mut slipped = text.clone();
                slipped.replace_range(at..=at, letter);
                assert!(slipped == text || read::<Note>(&slipped).is_err(), "{slipped}");
            }
            assert!(read::<Note>(&text[..at]).is_err());
        }
    }

    #[test]
    fn reader_refuses_one_thing_for_another_and_rubbish() {
        let text = write(&note(5)).unwrap();
        assert!(read::<Letter>(&text).is_err());
        let long = "farthing:note1".to_owned() + &"q".repeat(TEXT_MAX);
        for rubbish in ["", "farthing:", "farthing:note1", "note1qqqqqq", "Ärger:note1", "farthing:nöte1", &long] {
            assert!(read::<Note>(rubbish).is_err(), "{rubbish}");
            assert!(read::<Letter>(rubbish).is_err(), "{rubbish}");
        }
        assert!(claims::<Note>("FARTHING:NOTE1damaged") && !claims::<Note>("farthing:letter1"));
    }
}
