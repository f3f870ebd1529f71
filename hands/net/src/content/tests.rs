use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A seller with one hashed file, and an empty folder for a buyer.
struct Shop {
    home: TempDir,
    bytes: Vec<u8>,
    manifest: Manifest,
    reader: PieceReader,
}

impl Shop {
    fn with(size: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..size).map(|at| (at.wrapping_mul(31) ^ (at >> 9)) as u8 | 1).collect();
        let file = home.path().join("original");
        fs::write(&file, &bytes).unwrap();
        let outboards = Outboards::open(&home.path().join("outboards")).unwrap();
        let manifest = outboards.hash(&file, |_| {}).unwrap();
        let reader = outboards.reader(&file, &manifest).unwrap();
        Self { home, bytes, manifest, reader }
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("original")
    }

    fn downloads(&self) -> PathBuf {
        self.home.path().join("downloads")
    }

    fn piece(&self, piece: u64) -> Vec<u8> {
        let mut encoded = Vec::new();
        self.reader.piece(piece, &mut encoded).unwrap();
        encoded
    }

    fn writer(&self) -> PieceWriter {
        PieceWriter::open(&self.downloads(), self.manifest).unwrap()
    }

    fn finish(&self, writer: PieceWriter) {
        let path = writer.finish(&self.downloads(), &safe_name("copy").unwrap()).unwrap();
        assert_eq!(fs::read(path).unwrap(), self.bytes);
        assert_eq!(names(&self.downloads()), ["copy"], "nothing else is left");
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const SIZES: [usize; 10] = [
    0,
    1,
    1_024,
    16 << 10,
    (16 << 10) + 1,
    PIECE_BYTES - 1,
    PIECE_BYTES,
    PIECE_BYTES + 1,
    3 * PIECE_BYTES,
    5 * PIECE_BYTES + 12_345,
];

#[test]
fn files_of_every_awkward_size_arrive_piece_by_piece() {
    for size in SIZES {
        let shop = Shop::with(size);
        assert_eq!(shop.manifest.root.0, *blake3::hash(&shop.bytes).as_bytes());
        let mut writer = shop.writer();
        // Backwards, so that no piece leans on an earlier one.
        for piece in (0..shop.manifest.pieces()).rev() {
            let encoded = shop.piece(piece);
            assert!(encoded.len() <= ENCODED_PIECE_BYTES_MAX);
            assert_eq!(writer.accept(piece, &encoded).unwrap(), Accepted::Now);
            assert_eq!(writer.accept(piece, &encoded).unwrap(), Accepted::Before);
        }
        shop.finish(writer);
    }
}

#[test]
fn piece_lengths_add_up_to_the_size() {
    for size in SIZES {
        let manifest = Manifest { root: ContentId([0; 32]), size: size as u64 };
        let sum: usize = (0..manifest.pieces()).map(|k| manifest.piece_bytes(k).unwrap()).sum();
        assert_eq!(sum, size);
        assert_eq!(manifest.piece_bytes(manifest.pieces()), None);
        assert_eq!(manifest.piece_bytes(u64::MAX), None);
    }
}

#[test]
fn buyer_refuses_a_piece_sold_as_another() {
    let shop = Shop::with(3 * PIECE_BYTES);
    let mut writer = shop.writer();
    let refused = writer.accept(1, &shop.piece(2));
    assert!(matches!(refused, Err(ContentError::WrongPiece { piece: 1 })), "{refused:?}");
    assert!(refused.unwrap_err().is_the_senders_doing());
    assert_eq!(writer.missing_count(), 3);
}

#[test]
fn buyer_refuses_a_piece_of_another_file() {
    let (shop, other) = (Shop::with(2 * PIECE_BYTES), Shop::with(2 * PIECE_BYTES + 1));
    let refused = shop.writer().accept(0, &other.piece(0));
    assert!(matches!(refused, Err(ContentError::WrongPiece { piece: 0 })), "{refused:?}");
}

#[test]
fn buyer_refuses_a_piece_cut_short_or_with_a_tail() {
    let shop = Shop::with(2 * PIECE_BYTES);
    let mut writer = shop.writer();
    let good = shop.piece(1);
    for len in [0, 1, 63, 64, 100, good.len() - 1] {
        let refused = writer.accept(1, &good[..len]);
        assert!(matches!(refused, Err(ContentError::Truncated { piece: 1 })), "{len}: {refused:?}");
    }
    let long = [&good[..], &[0]].concat();
    assert!(matches!(writer.accept(1, &long), Err(ContentError::Excess { piece: 1 })));
    let huge = vec![0; ENCODED_PIECE_BYTES_MAX + 1];
    assert!(matches!(writer.accept(1, &huge), Err(ContentError::Excess { piece: 1 })));
    assert_eq!(writer.missing().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(writer.accept(1, &good).unwrap(), Accepted::Now, "an honest piece still gets by");
}

#[test]
fn nobody_gets_a_piece_beyond_the_end() {
    let shop = Shop::with(PIECE_BYTES);
    for piece in [1, u64::MAX] {
        let refused = shop.reader.piece(piece, &mut Vec::new());
        assert!(matches!(refused, Err(ContentError::NoSuchPiece { pieces: 1, .. })));
        let refused = shop.writer().accept(piece, &shop.piece(0));
        assert!(matches!(refused, Err(ContentError::NoSuchPiece { pieces: 1, .. })));
    }
}

#[test]
fn buyer_refuses_a_manifest_of_absurd_size_or_with_an_impossible_root() {
    let dir = tempfile::tempdir().unwrap();
    let endless = Manifest { root: ContentId([0; 32]), size: CONTENT_BYTES_MAX + 1 };
    let refused = PieceWriter::open(dir.path(), endless);
    assert!(matches!(refused, Err(ContentError::TooBig { .. })));
    let empty = Manifest { root: ContentId([0; 32]), size: 0 };
    assert!(matches!(PieceWriter::open(dir.path(), empty), Err(ContentError::WrongRoot)));
    assert!(names(dir.path()).is_empty(), "nothing was set aside");
}

#[test]
fn seller_notices_that_its_file_was_edited() {
    let shop = Shop::with(2 * PIECE_BYTES);
    let mut edited = shop.bytes.clone();
    edited[PIECE_BYTES + 7] ^= 1;
    fs::write(shop.file(), &edited).unwrap();
    let mut encoded = Vec::new();
    shop.reader.piece(0, &mut encoded).unwrap();
    assert!(matches!(shop.reader.piece(1, &mut encoded), Err(ContentError::Changed(_))));
    assert!(encoded.is_empty());
    fs::write(shop.file(), &edited[..PIECE_BYTES + 1]).unwrap();
    assert!(matches!(shop.reader.piece(1, &mut encoded), Err(ContentError::Changed(_))));
    let outboards = Outboards::open(&shop.home.path().join("outboards")).unwrap();
    let refused = outboards.reader(&shop.file(), &shop.manifest);
    assert!(matches!(refused, Err(ContentError::Changed(_))), "before a buyer is promised anything");
}

#[test]
fn seller_offers_nothing_it_has_not_hashed_and_no_folder() {
    let shop = Shop::with(10);
    let outboards = Outboards::open(&shop.home.path().join("outboards")).unwrap();
    let refused = outboards.hash(shop.home.path(), |_| {});
    assert!(matches!(refused, Err(ContentError::NotAFile(_))));
    outboards.forget(&shop.manifest).unwrap();
    outboards.forget(&shop.manifest).unwrap();
    let refused = outboards.reader(&shop.file(), &shop.manifest);
    assert!(matches!(refused, Err(ContentError::NotHashed(_))));
}

#[test]
fn hashing_tells_how_far_it_got_and_clears_away_what_a_crash_left() {
    let shop = Shop::with(3 * PIECE_BYTES);
    let dir = shop.home.path().join("outboards");
    fs::write(dir.join("1-0.tmp"), b"half").unwrap();
    let outboards = Outboards::open(&dir).unwrap();
    let mut done = 0;
    outboards.hash(&shop.file(), |bytes| done = bytes).unwrap();
    assert_eq!(done, shop.manifest.size);
    assert_eq!(names(&dir).len(), 1, "the same content is kept once");
}

#[test]
fn a_download_goes_on_after_a_crash_and_trusts_only_the_root() {
    let shop = Shop::with(4 * PIECE_BYTES + 5);
    let mut writer = shop.writer();
    for piece in [0, 1, 4] {
        writer.accept(piece, &shop.piece(piece)).unwrap();
    }
    drop(writer);
    // What the crash did to the disk: a byte of piece 1 is wrong.
    let part = shop.downloads().join(format!("{}.part", hex::encode(shop.manifest.root.0)));
    let mut bytes = fs::read(&part).unwrap();
    bytes[PIECE_BYTES + 3] ^= 1;
    fs::write(&part, bytes).unwrap();
    let mut writer = shop.writer();
    assert_eq!(writer.missing().collect::<Vec<_>>(), [1, 2, 3]);
    for piece in 1..4 {
        writer.accept(piece, &shop.piece(piece)).unwrap();
    }
    shop.finish(writer);
}

#[test]
fn a_download_survives_the_loss_of_its_hashes_by_fetching_again() {
    let shop = Shop::with(2 * PIECE_BYTES);
    let mut writer = shop.writer();
    writer.accept(0, &shop.piece(0)).unwrap();
    drop(writer);
    fs::remove_file(shop.downloads().join(format!("{}.obao", hex::encode(shop.manifest.root.0)))).unwrap();
    assert_eq!(shop.writer().missing_count(), 2);
}

#[test]
fn two_downloads_of_one_content_do_not_write_over_each_other() {
    let shop = Shop::with(10);
    let first = shop.writer();
    let refused = PieceWriter::open(&shop.downloads(), shop.manifest);
    assert!(matches!(refused, Err(ContentError::Busy(_))));
    drop(first);
    shop.writer().discard().unwrap();
    assert!(names(&shop.downloads()).is_empty());
}

#[test]
fn an_unfinished_download_gets_no_name_and_a_finished_one_replaces_no_file() {
    let shop = Shop::with(10);
    let name = safe_name("copy").unwrap();
    let refused = shop.writer().finish(&shop.downloads(), &name);
    assert!(matches!(refused, Err(ContentError::Incomplete { missing: 1 })));
    let mut writer = shop.writer();
    writer.accept(0, &shop.piece(0)).unwrap();
    fs::write(shop.downloads().join("copy"), b"mine").unwrap();
    let refused = writer.finish(&shop.downloads(), &name);
    assert!(matches!(refused, Err(ContentError::Exists(_))));
    assert_eq!(fs::read(shop.downloads().join("copy")).unwrap(), b"mine");
    fs::remove_file(shop.downloads().join("copy")).unwrap();
    shop.finish(shop.writer());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_size_arrives_and_no_damaged_piece_is_taken(
        size in 1_usize..4 * PIECE_BYTES,
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let shop = Shop::with(size);
        let mut writer = shop.writer();
        let piece = which.index(shop.manifest.pieces() as usize) as u64;
        let mut damaged = shop.piece(piece);
        let at = place.index(damaged.len());
        damaged[at] ^= flip;
        let refused = writer.accept(piece, &damaged);
        prop_assert!(matches!(refused, Err(ContentError::WrongPiece { .. })), "{:?}", refused);
        prop_assert_eq!(writer.missing_count(), shop.manifest.pieces());
        drop(writer);
        let mut writer = shop.writer();
        prop_assert_eq!(writer.missing_count(), shop.manifest.pieces(), "nothing was written");
        for piece in 0..shop.manifest.pieces() {
            writer.accept(piece, &shop.piece(piece)).unwrap();
        }
        shop.finish(writer);
    }

    #[test]
    fn rubbish_is_refused_without_a_panic(
        rubbish in prop::collection::vec(any::<u8>(), 0..2_000),
        size in 1_u64..CONTENT_BYTES_MAX,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest { root: ContentId([7; 32]), size };
        let mut writer = PieceWriter::open(dir.path(), manifest).unwrap();
        prop_assert!(writer.accept(manifest.pieces() - 1, &rubbish).is_err());
    }
}
