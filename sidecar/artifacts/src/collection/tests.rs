use proptest::prelude::*;

use super::*;

const GRACE: Duration = Duration::from_secs(100);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(10_000)
}

fn commit(age: u64, blobs: &[usize]) -> Holding {
    Holding {
        kind: Kind::Commit { is_named: false },
        last_used: now() - Duration::from_secs(age),
        in_use: false,
        own_bytes: 0,
        blobs: blobs.to_vec(),
    }
}

fn named(age: u64, blobs: &[usize]) -> Holding {
    Holding { kind: Kind::Commit { is_named: true }, ..commit(age, blobs) }
}

fn used(age: u64, blobs: &[usize]) -> Holding {
    Holding { in_use: true, ..commit(age, blobs) }
}

fn other(kind: Kind, age: u64, own_bytes: u64) -> Holding {
    Holding { kind, own_bytes, ..commit(age, &[]) }
}

fn listing(holdings: Vec<Holding>, blobs: &[u64]) -> Listing {
    let blobs = blobs.iter().map(|bytes| SharedBlob { bytes: *bytes, is_kept: false });
    Listing { holdings, blobs: blobs.collect() }
}

#[test]
fn the_least_recently_used_goes_first_and_no_more_than_is_needed() {
    let three = listing(vec![commit(300, &[0]), commit(500, &[1]), commit(400, &[2])], &[10, 10, 10]);
    let table: [(Need, &[usize]); 6] = [
        (Need::Spare(0), &[]),
        (Need::Spare(5), &[1]),
        (Need::Spare(11), &[1, 2]),
        (Need::Fetch(30), &[1, 2, 0]),
        (Need::Fetch(31), &[]),
        (Need::Spare(31), &[1, 2, 0]),
    ];
    for (need, expected) in table {
        assert_eq!(choose(&three, need, now(), GRACE), expected, "{need:?}");
    }
}

#[test]
fn what_is_named_or_was_used_lately_goes_last_and_only_for_a_fetch() {
    let all = listing(
        vec![named(900, &[0]), commit(99, &[1]), commit(100, &[2]), used(1000, &[3])],
        &[10, 10, 10, 10],
    );
    let table: [(Need, &[usize]); 5] = [
        (Need::Spare(40), &[2]),
        (Need::Fetch(10), &[2]),
        (Need::Fetch(20), &[2, 1]),
        (Need::Fetch(30), &[2, 1, 0]),
        (Need::Fetch(40), &[]),
    ];
    for (need, expected) in table {
        assert_eq!(choose(&all, need, now(), GRACE), expected, "{need:?}");
    }
}

#[test]
fn of_those_last_used_at_the_same_time_the_largest_goes() {
    let two = listing(vec![commit(300, &[0]), commit(300, &[1])], &[10, 20]);
    assert_eq!(choose(&two, Need::Spare(5), now(), GRACE), [1]);
}

#[test]
fn a_small_one_is_not_removed_before_a_large_one_that_is_enough() {
    let two = listing(vec![commit(500, &[0]), commit(300, &[1])], &[1, 100]);
    assert_eq!(choose(&two, Need::Fetch(50), now(), GRACE), [1]);
}

#[test]
fn shared_contents_go_with_the_last_that_links_to_them() {
    let pair = listing(vec![commit(500, &[0, 1]), commit(400, &[0])], &[100, 1]);
    assert_eq!(choose(&pair, Need::Spare(1), now(), GRACE), [0]);
    assert_eq!(choose(&pair, Need::Spare(2), now(), GRACE), [0, 1]);
    // Removing what shares everything with what stays would free nothing.
    let held = listing(vec![commit(500, &[0]), used(400, &[0])], &[100]);
    assert!(choose(&held, Need::Spare(1), now(), GRACE).is_empty());
    let mut kept = listing(vec![commit(500, &[0])], &[100]);
    kept.blobs[0].is_kept = true;
    assert!(choose(&kept, Need::Fetch(1), now(), GRACE).is_empty());
}

#[test]
fn fresh_leftovers_stay_and_copies_go_like_commits() {
    let all = listing(
        vec![
            other(Kind::Leftover, 99, 10),
            other(Kind::Leftover, 100, 10),
            other(Kind::Copy, 99, 10),
            other(Kind::Copy, 200, 10),
        ],
        &[],
    );
    assert_eq!(choose(&all, Need::Spare(40), now(), GRACE), [3, 1]);
    assert_eq!(choose(&all, Need::Fetch(30), now(), GRACE), [3, 1, 2]);
    assert!(choose(&all, Need::Fetch(31), now(), GRACE).is_empty());
}

#[test]
fn a_clock_that_was_set_back_makes_nothing_old() {
    let future = Holding { last_used: now() + GRACE, ..commit(0, &[0]) };
    assert!(choose(&listing(vec![future], &[10]), Need::Spare(10), now(), GRACE).is_empty());
}

fn holding() -> impl Strategy<Value = Holding> {
    let kind = prop_oneof![
        any::<bool>().prop_map(|is_named| Kind::Commit { is_named }),
        Just(Kind::Copy),
        Just(Kind::Leftover)
    ];
    (kind, 0_u64..400, any::<bool>(), 0_u64..50, prop::collection::vec(0_usize..6, 0..4)).prop_map(
        |(kind, age, in_use, own_bytes, blobs)| Holding {
            kind,
            last_used: now() - Duration::from_secs(age),
            in_use,
            own_bytes,
            blobs,
        },
    )
}

fn any_listing() -> impl Strategy<Value = Listing> {
    let blob = (0_u64..100, prop::bool::weighted(0.2));
    let blobs = prop::collection::vec(blob.prop_map(|(bytes, is_kept)| SharedBlob { bytes, is_kept }), 6);
    (prop::collection::vec(holding(), 0..10), blobs).prop_map(|(holdings, blobs)| Listing { holdings, blobs })
}

proptest! {
    #[test]
    fn what_must_stay_stays(listing in any_listing(), bytes in 0_u64..400, is_fetch: bool) {
        let need = if is_fetch { Need::Fetch(bytes) } else { Need::Spare(bytes) };
        for place in choose(&listing, need, now(), GRACE) {
            let holding = &listing.holdings[place];
            let is_lately = now().duration_since(holding.last_used).unwrap() < GRACE;
            prop_assert!(!holding.in_use);
            prop_assert!(!(is_lately && holding.kind == Kind::Leftover));
            prop_assert!(is_fetch || !is_lately);
            let is_named = holding.kind == Kind::Commit { is_named: true };
            prop_assert!(is_fetch || !is_named);
        }
    }

    #[test]
    fn a_fetch_gets_its_room_or_nobody_goes(listing in any_listing(), bytes in 1_u64..400) {
        let chosen: BTreeSet<usize> = choose(&listing, Need::Fetch(bytes), now(), GRACE).into_iter().collect();
        let all: BTreeSet<usize> = (0..listing.holdings.len())
            .filter(|place| rank(&listing.holdings[*place], now(), GRACE).is_some())
            .collect();
        if freed_by(&listing, &all) < bytes {
            prop_assert!(chosen.is_empty());
        } else {
            prop_assert!(freed_by(&listing, &chosen) >= bytes);
        }
    }

    #[test]
    fn nobody_goes_in_vain(listing in any_listing(), bytes in 1_u64..400, is_fetch: bool) {
        let need = if is_fetch { Need::Fetch(bytes) } else { Need::Spare(bytes) };
        let chosen: BTreeSet<usize> = choose(&listing, need, now(), GRACE).into_iter().collect();
        let freed = freed_by(&listing, &chosen);
        for place in &chosen {
            let without = chosen.iter().copied().filter(|other| other != place).collect();
            prop_assert!(freed_by(&listing, &without) < bytes.min(freed));
        }
    }

    #[test]
    fn a_named_commit_goes_only_where_all_else_is_too_little(listing in any_listing(), bytes in 1_u64..400) {
        let chosen = choose(&listing, Need::Fetch(bytes), now(), GRACE);
        let is_named = |place: &usize| rank(&listing.holdings[*place], now(), GRACE) == Some(Rank::Named);
        if chosen.iter().any(is_named) {
            let rest = (0..listing.holdings.len())
                .filter(|place| rank(&listing.holdings[*place], now(), GRACE).is_some_and(|rank| rank < Rank::Named))
                .collect();
            prop_assert!(freed_by(&listing, &rest) < bytes);
        }
    }
}
