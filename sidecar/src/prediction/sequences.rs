//! What is asked for after what.
//!
//! A use of a version opens an episode of whoever asks. What the same one asks for until nothing has happened for
//! [`SOON`] has followed it, once each. Those who do not say who they are count as one.

use std::collections::{BTreeMap, BTreeSet};

use super::reason::{Cue, Reason, share};
use super::time::{SOON, WEEK, WallTime, fade};
use crate::target::VersionKey;

/// The most cues that are remembered; the one that was met longest ago goes for another one.
const MOST_CUES: usize = 256;
/// The most versions that are remembered as followers of one; the rarest goes for another one.
const MOST_FOLLOWERS: usize = 8;
/// The most episodes that are open; the one that was continued longest ago is closed for another one.
const MOST_EPISODES: usize = 256;

/// Who asks, as a number that says nothing about the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asker(pub(super) u64);

#[derive(Debug, Clone, Default)]
pub(super) struct Sequences {
    cues: BTreeMap<Cue, Followers>,
    episodes: BTreeMap<(Option<Asker>, Cue), Episode>,
}

/// How often a cue was met, and what followed it, as it weighed when it was met last.
#[derive(Debug, Clone, Default)]
struct Followers {
    last_met: WallTime,
    seen: f64,
    followed: BTreeMap<VersionKey, f64>,
}

#[derive(Debug, Clone)]
struct Episode {
    continued: WallTime,
    followed: BTreeSet<VersionKey>,
    /// What was loaded ahead for it and left unused.
    in_vain: BTreeSet<VersionKey>,
}

impl Followers {
    fn fade_to(&mut self, now: WallTime) {
        let left = fade(now.saturating_sub(self.last_met), WEEK);
        self.last_met = self.last_met.max(now);
        self.seen *= left;
        self.followed.values_mut().for_each(|count| *count *= left);
    }

    fn add(&mut self, key: &VersionKey) {
        let is_full = self.followed.len() >= MOST_FOLLOWERS && !self.followed.contains_key(key);
        let rarest = self.followed.iter().min_by(|left, right| left.1.total_cmp(right.1));
        if let Some(rarest) = rarest.map(|(key, _)| key.clone()).filter(|_| is_full) {
            self.followed.remove(&rarest);
        }
        *self.followed.entry(key.clone()).or_default() += 1.0;
    }
}

impl Sequences {
    /// A version is used: it follows what the same one asked for before.
    pub(super) fn follow(&mut self, key: &VersionKey, asker: Option<Asker>, now: WallTime) {
        self.close_old(now);
        let mut followed = Vec::new();
        for ((whose, cue), episode) in &mut self.episodes {
            let has_room = episode.followed.len() < MOST_FOLLOWERS;
            if *whose == asker && cue.after != *key && has_room && episode.followed.insert(key.clone()) {
                followed.push((cue.clone(), episode.followed.len() == 1));
            }
        }
        for (cue, is_first) in followed {
            let followers = self.met(&cue, now);
            followers.seen += f64::from(u8::from(is_first));
            followers.add(key);
        }
    }

    /// Something happens that others may follow. Says whether an episode begins with it: one that was followed by
    /// something is over when the next request comes, another one goes on.
    pub(super) fn begin(&mut self, cue: Cue, asker: Option<Asker>, now: WallTime) -> bool {
        self.close_old(now);
        let place = (asker, cue);
        if let Some(episode) = self.episodes.get_mut(&place)
            && episode.followed.is_empty()
        {
            episode.continued = now;
            return false;
        }
        self.episodes.remove(&place);
        if self.episodes.len() >= MOST_EPISODES {
            let oldest = self.episodes.iter().min_by_key(|(_, episode)| episode.continued);
            if let Some(oldest) = oldest.map(|(place, _)| place.clone()) {
                self.close(&oldest, now);
            }
        }
        let episode = Episode { continued: now, followed: BTreeSet::new(), in_vain: BTreeSet::new() };
        self.episodes.insert(place, episode);
        true
    }

    /// What began an episode is still going on.
    pub(super) fn go_on(&mut self, cue: Cue, asker: Option<Asker>, now: WallTime) {
        if let Some(episode) = self.episodes.get_mut(&(asker, cue)) {
            episode.continued = now;
        }
    }

    /// A version was loaded ahead in vain: no open episode is a reason for it any more.
    pub(super) fn in_vain(&mut self, key: &VersionKey) {
        for ((_, cue), episode) in &mut self.episodes {
            let is_follower =
                self.cues.get(cue).is_some_and(|followers| followers.followed.contains_key(key));
            if is_follower && episode.in_vain.len() < MOST_FOLLOWERS {
                episode.in_vain.insert(key.clone());
            }
        }
    }

    /// Forgets versions that are not there any more.
    pub(super) fn retain(&mut self, is_there: impl Fn(&VersionKey) -> bool) {
        self.cues.retain(|cue, _| is_there(&cue.after));
        self.cues.values_mut().for_each(|followers| followers.followed.retain(|key, _| is_there(key)));
        self.episodes.retain(|(_, cue), _| is_there(&cue.after));
    }

    /// How probable it is that each version follows what is going on now.
    pub(super) fn expected(&mut self, now: WallTime) -> Vec<(VersionKey, f64, Reason)> {
        self.close_old(now);
        let mut expected = Vec::new();
        for ((_, cue), episode) in &self.episodes {
            let Some(followers) = self.cues.get(cue) else { continue };
            let left = fade(now.saturating_sub(followers.last_met), WEEK);
            for (key, count) in &followers.followed {
                if !episode.followed.contains(key) && !episode.in_vain.contains(key) {
                    let (followed, seen) = (count * left, followers.seen * left);
                    let reason = Reason::Sequence { cue: cue.clone(), followed, seen };
                    expected.push((key.clone(), share(followed, seen), reason));
                }
            }
        }
        expected
    }

    /// Closes the episodes in which nothing has happened for so long.
    fn close_old(&mut self, now: WallTime) {
        let is_old = |episode: &Episode| episode.continued + SOON < now;
        let old = self.episodes.iter().filter(|(_, episode)| is_old(episode));
        let old: Vec<(Option<Asker>, Cue)> = old.map(|(place, _)| place.clone()).collect();
        for place in old {
            self.close(&place, now);
        }
    }

    fn close(&mut self, place: &(Option<Asker>, Cue), now: WallTime) {
        // One that was followed has been counted then.
        if self.episodes.remove(place).is_some_and(|episode| episode.followed.is_empty()) {
            self.met(&place.1, now).seen += 1.0;
        }
    }

    /// The followers of a cue that is met now.
    fn met(&mut self, cue: &Cue, now: WallTime) -> &mut Followers {
        if self.cues.len() >= MOST_CUES && !self.cues.contains_key(cue) {
            let oldest = self.cues.iter().min_by_key(|(_, followers)| followers.last_met);
            if let Some(oldest) = oldest.map(|(cue, _)| cue.clone()) {
                self.cues.remove(&oldest);
            }
        }
        let followers = self.cues.entry(cue.clone()).or_default();
        followers.fade_to(now);
        followers
    }

    /// How much is remembered: cues, followers, open episodes and what followed in them.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize, usize) {
        let followers = self.cues.values().map(|followers| followers.followed.len()).max();
        let followed = self.episodes.values().map(|it| it.followed.len().max(it.in_vain.len())).max();
        (self.cues.len(), followers.unwrap_or_default(), self.episodes.len(), followed.unwrap_or_default())
    }
}
