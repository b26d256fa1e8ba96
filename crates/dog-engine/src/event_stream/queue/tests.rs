use super::*;

fn queue(max_waiting: usize, slow: SlowStreams) -> Arc<StreamQueue> {
    StreamQueue::new(StreamFormat::Events, StreamLimits { max_waiting, slow })
}

fn chunk(length: usize) -> Bytes {
    vec![b'x'; length].into()
}

fn push(queue: &StreamQueue, length: usize) -> Push {
    queue.push(chunk(length), Timestamp::from_millis(0))
}

fn taken(queue: &StreamQueue) -> Option<usize> {
    let mut state = queue.lock();
    let taken = state.take().map(|chunk| chunk.len());
    queue.relieve(&mut state);
    taken
}

#[test]
fn what_waits_together_is_sent_together_up_to_64_kib() {
    let queue = queue(1 << 20, SlowStreams::Close);
    for length in [10, 20, 70_000, 30, JOIN_UP_TO - 30, 1] {
        assert_eq!(push(&queue, length), Push::Taken);
    }
    let sizes: Vec<usize> = std::iter::from_fn(|| taken(&queue)).collect();
    assert_eq!(sizes, [30, 70_000, JOIN_UP_TO, 1]);
    assert_eq!(queue.lock().waiting, 0);
}

#[test]
fn a_client_that_does_not_read_is_let_go_at_the_limit() {
    let queue = queue(1000, SlowStreams::Close);
    assert_eq!(push(&queue, 5000), Push::Lags, "nothing waits, so any size is taken");
    assert_eq!(push(&queue, 1), Push::TooSlow);
    assert_eq!(push(&queue, 1), Push::Ended);
    let Some(Outcome::Closed(close)) = queue.outcome() else { panic!("it goes on") };
    assert_eq!(close.code(), CloseCode::TRY_AGAIN);
    let last = queue.lock().take().unwrap();
    assert_eq!(last, "event: close\ndata: {\"code\":1013,\"reason\":\"too slow\"}\n\n");
    assert_eq!(taken(&queue), None, "what waited is dropped");
}

#[test]
fn many_small_messages_count_more_than_their_bytes() {
    let queue = queue(10 * (1 + KEEPING), SlowStreams::DropNewest);
    let pushes: Vec<Push> = (0..11).map(|_| push(&queue, 1)).collect();
    assert!(pushes[..10].iter().all(|push| *push == Push::Taken));
    assert_eq!(pushes[10], Push::Dropped);
    taken(&queue);
    assert_eq!(push(&queue, 1), Push::Taken, "the stream goes on");
}

#[test]
fn silence_is_broken_once_per_interval_and_only_silence() {
    let queue = queue(1000, SlowStreams::Close);
    queue.keep_alive();
    assert_eq!(taken(&queue), None, "the stream has just begun");
    queue.keep_alive();
    assert_eq!(taken(&queue), Some(3));
    push(&queue, 5);
    queue.keep_alive();
    assert_eq!((taken(&queue), taken(&queue)), (Some(5), None));
    queue.keep_alive();
    queue.keep_alive();
    assert_eq!((taken(&queue), taken(&queue)), (Some(3), None), "nothing is added for a client that does not read");
}

#[test]
fn a_burst_lags_and_has_twice_the_room_until_the_client_has_caught_up() {
    let queue = queue(8 * (100 + KEEPING), SlowStreams::Close);
    let pushes: Vec<Push> = (0..6).map(|_| push(&queue, 100)).collect();
    assert_eq!(pushes, [Push::Taken, Push::Taken, Push::Taken, Push::Taken, Push::Lags, Push::Taken]);
    let (tell, told) = std::sync::mpsc::channel();
    queue.hold_back(Box::new(move || tell.send(()).unwrap()));
    let backlog = StreamBacklog::of(&queue);
    for _ in 6..16 {
        assert_eq!(push(&queue, 100), Push::Taken);
    }
    assert!(!backlog.has_caught_up());
    assert!(told.try_recv().is_err());
    assert_eq!((backlog.taken(), taken(&queue), backlog.taken()), (0, Some(1600), 1));
    assert!(told.try_recv().is_ok() && backlog.has_caught_up());
    (0..4).for_each(|_| assert_eq!(push(&queue, 100), Push::Taken));
    assert_eq!(push(&queue, 100), Push::Lags, "the next burst");
    backlog.is_slow();
    (5..8).for_each(|_| assert_eq!(push(&queue, 100), Push::Taken));
    assert_eq!(push(&queue, 100), Push::TooSlow, "nobody waits for it any more");
}

#[test]
fn a_client_that_falls_behind_little_by_little_does_not_lag() {
    let queue = queue(8 * (100 + KEEPING), SlowStreams::Close);
    for second in 0..8 {
        assert_eq!(queue.push(chunk(100), Timestamp::from_millis(second * 500)), Push::Taken);
    }
    assert_eq!(push(&queue, 100), Push::TooSlow);
}

#[test]
fn only_the_first_end_counts() {
    let queue = queue(1000, SlowStreams::Close);
    push(&queue, 5);
    queue.end(Close::new(CloseCode::NORMAL, ""));
    queue.end(Close::new(CloseCode::POLICY, ""));
    queue.leave();
    assert_eq!(queue.outcome(), Some(Outcome::Closed(Close::new(CloseCode::NORMAL, ""))));
}
