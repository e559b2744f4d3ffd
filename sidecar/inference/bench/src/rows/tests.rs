use std::collections::BTreeSet;

use super::*;
use crate::contender::{Program, Side};

#[test]
fn every_row_has_ostler_a_peer_and_a_name_of_its_own() {
    let rows = rows(&[2, 1]);
    let names: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(names.len(), rows.len());
    for row in &rows {
        for side in [Side::Ostler, Side::Peer] {
            assert!(row.contenders.iter().any(|contender| contender.side == side), "{}", row.id);
        }
        let used = row.contenders.iter().map(|contender| {
            if contender.program == Program::Ostler {
                contender.threads
            } else {
                contender.threads * contender.workers
            }
        });
        assert!(used.max() <= Some(row.threads), "{} takes more threads than it may", row.id);
    }
}

#[test]
fn targets_are_for_two_threads() {
    let with = |threads| rows(&[threads]).into_iter().filter(|row| row.target.is_some()).count();
    assert_eq!((with(2), with(1)), (13, 4));
}

#[test]
fn work_without_arithmetic_has_no_floor() {
    for row in rows(&[2]) {
        let has_floor = row.stages(&[90, 64]).is_some();
        assert_eq!(has_floor, !matches!(row.task, Task::Load | Task::Memory), "{}", row.id);
    }
}
