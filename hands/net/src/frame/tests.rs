use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[tokio::test]
async fn frames_arrive_whole_and_in_order_and_the_end_is_told() {
    let (near, far) = tokio::io::duplex(1 << 10);
    let sent: Vec<Vec<u8>> = vec![vec![], vec![1], vec![2; 3_000], vec![3; FRAME_BYTES_MAX]];
    let copy = sent.clone();
    let sender = tokio::spawn(async move {
        let mut writer = FrameWriter::new(near);
        for frame in &copy {
            writer.feed(frame).await.unwrap();
        }
        writer.close().await.unwrap();
    });
    let mut reader = FrameReader::new(far);
    for frame in &sent {
        assert_eq!(reader.next().await.unwrap().unwrap(), frame[..]);
    }
    assert!(reader.next().await.unwrap().is_none());
    sender.await.unwrap();
}

#[tokio::test]
async fn everything_that_came_in_one_read_is_handed_out_without_another() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let mut writer = FrameWriter::new(near);
    for n in 0..100_u8 {
        writer.feed(&[n; 32]).await.unwrap();
    }
    writer.flush().await.unwrap();
    let mut reader = FrameReader::new(far);
    assert_eq!(reader.next().await.unwrap().unwrap(), [0; 32][..]);
    for n in 1..100_u8 {
        assert_eq!(reader.arrived().unwrap().unwrap(), [n; 32][..]);
    }
    assert!(reader.arrived().unwrap().is_none());
}

#[tokio::test]
async fn reader_refuses_a_frame_longer_than_its_limit_and_sets_nothing_aside_for_it() {
    let (mut near, far) = tokio::io::duplex(64);
    near.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    let mut reader = FrameReader::with_max(far, 100);
    let refused = reader.next().await;
    assert!(matches!(refused, Err(FrameError::TooLong { max: 100, .. })), "{refused:?}");
}

#[tokio::test]
async fn reader_refuses_a_frame_cut_short() {
    for cut in [1, 3, 4, 10] {
        let (mut near, far) = tokio::io::duplex(64);
        let mut whole = 20_u32.to_be_bytes().to_vec();
        whole.extend([9; 20]);
        near.write_all(&whole[..cut]).await.unwrap();
        drop(near);
        let refused = FrameReader::new(far).next().await;
        assert!(matches!(refused, Err(FrameError::Truncated)), "{cut}: {refused:?}");
    }
}

#[tokio::test]
async fn writer_refuses_a_frame_longer_than_its_limit_and_the_stream_stays_good() {
    let (near, far) = tokio::io::duplex(64);
    let mut writer = FrameWriter::with_max(near, 8);
    assert!(matches!(writer.feed(&[0; 9]).await, Err(FrameError::TooLong { bytes: 9, max: 8 })));
    writer.feed(b"good").await.unwrap();
    writer.flush().await.unwrap();
    assert_eq!(FrameReader::new(far).next().await.unwrap().unwrap(), b"good"[..]);
}

#[tokio::test]
async fn a_peer_that_stalls_inside_a_frame_runs_out_of_time() {
    let (mut near, far) = tokio::io::duplex(64);
    near.write_all(&10_u32.to_be_bytes()).await.unwrap();
    near.write_all(&[0; 9]).await.unwrap();
    let mut reader = FrameReader::new(far);
    let refused = within(Duration::from_millis(20), reader.next()).await;
    assert!(matches!(refused, Err(FrameError::TooSlow(_))), "{refused:?}");
    near.write_all(&[0]).await.unwrap();
    let late = reader.next().await.unwrap().unwrap();
    assert_eq!(late, [0; 10][..], "what had arrived is kept");
}

#[tokio::test]
async fn writer_sends_nothing_more_after_a_write_abandoned_half_way() {
    let (near, _far) = tokio::io::duplex(16);
    let mut writer = FrameWriter::new(near);
    let stuck = within(Duration::from_millis(20), writer.feed(&[7; FRAME_BYTES_MAX])).await;
    assert!(matches!(stuck, Err(FrameError::TooSlow(_))));
    assert!(matches!(writer.feed(b"next").await, Err(FrameError::Closed)));
}

proptest! {
    #[test]
    fn reader_yields_what_was_fed_however_the_bytes_are_cut(
        frames in vec(vec(any::<u8>(), 0..300), 0..20),
        window in 1_usize..200,
    ) {
        block_on(async {
            let (near, far) = tokio::io::duplex(window);
            let copy = frames.clone();
            let sender = tokio::spawn(async move {
                let mut writer = FrameWriter::new(near);
                for frame in &copy {
                    let (head, tail) = frame.split_at(frame.len() / 2);
                    writer.feed_parts(&[head, tail]).await.unwrap();
                }
                writer.close().await.unwrap();
            });
            let mut reader = FrameReader::new(far);
            for frame in &frames {
                assert_eq!(reader.next().await.unwrap().unwrap(), frame[..]);
            }
            assert!(reader.next().await.unwrap().is_none());
            sender.await.unwrap();
        });
    }

    #[test]
    fn rubbish_never_panics_the_reader(rubbish in vec(any::<u8>(), 0..2_000)) {
        block_on(async {
            let mut reader = FrameReader::with_max(&rubbish[..], 500);
            while let Ok(Some(_)) = reader.next().await {}
        });
    }
}

#[tokio::test]
async fn a_frame_held_back_is_not_whole_before_what_it_waits_for_is_done() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (mut writer, mut reader) = (FrameWriter::new(near), FrameReader::new(far));
    let (done, ready) = tokio::sync::oneshot::channel::<()>();
    let payload = vec![7; 20_000];
    let write = writer.feed_held(&payload, 16_384, async { ready.await.map_err(|_| FrameError::Closed) });
    let read = async {
        let early = tokio::time::timeout(std::time::Duration::from_millis(50), reader.next()).await;
        assert!(early.is_err(), "the frame was whole too early");
        done.send(()).unwrap();
        reader.next().await.unwrap().unwrap()
    };
    let (written, frame) = tokio::join!(write, read);
    written.unwrap();
    assert_eq!(frame.as_ref(), payload);
}

#[tokio::test]
async fn a_frame_whose_condition_failed_is_never_finished_nor_followed() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (mut writer, mut reader) = (FrameWriter::new(near), FrameReader::new(far));
    let failed = writer.feed_held(&[7; 100], 10, async { Err::<(), _>(FrameError::Closed) }).await;
    assert!(failed.is_err());
    assert!(writer.feed(&[1]).await.is_err());
    drop(writer);
    assert!(matches!(reader.next().await, Err(FrameError::Truncated)));
}
