//! Why a version is expected to be asked for, in words for people.

use std::fmt;

use serde::Serialize;

use crate::target::VersionKey;

/// A use of a version that others may follow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cue {
    /// The version that was used.
    pub after: VersionKey,
    /// The language that it was used on, where it is speech and the language has been heard.
    pub language: Option<String>,
}

impl fmt::Display for Cue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.language {
            Some(language) => write!(formatter, "{} in {language}", self.after),
            None => write!(formatter, "{}", self.after),
        }
    }
}

/// What a prediction follows from. Its counts weigh less the older they are.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// It was used lately, again and again.
    Recency {
        /// The minutes in which it was used, half as many each half an hour.
        minutes: f64,
    },
    /// It was used at this hour of earlier days.
    HourOfDay {
        /// The hour in UTC.
        hour: usize,
        /// The days on which it was.
        used: f64,
        /// All days that were looked at.
        seen: f64,
    },
    /// It follows what is being used now.
    Sequence {
        /// What is being used.
        cue: Cue,
        /// How often it followed.
        followed: f64,
        /// How often the other one was used.
        seen: f64,
    },
}

/// The kinds of reasons, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// [`Reason::Recency`].
    Recency,
    /// [`Reason::HourOfDay`].
    HourOfDay,
    /// [`Reason::Sequence`].
    Sequence,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Recency, Self::HourOfDay, Self::Sequence];

    /// Its name in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Recency => "recency",
            Self::HourOfDay => "hour_of_day",
            Self::Sequence => "sequence",
        }
    }
}

impl Reason {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Recency { .. } => Kind::Recency,
            Self::HourOfDay { .. } => Kind::HourOfDay,
            Self::Sequence { .. } => Kind::Sequence,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recency { minutes } => {
                write!(formatter, "of late it was used in {minutes:.1} different minutes")
            }
            Self::HourOfDay { hour, used, seen } => {
                write!(formatter, "at {hour} h UTC it was used on {used:.1} of {seen:.1} days")
            }
            Self::Sequence { cue, followed, seen } => {
                write!(formatter, "it followed {cue} {followed:.1} of {seen:.1} times")
            }
        }
    }
}

/// The share of times that something came. One time more is counted in which it did not, so that who has seen little
/// expects little.
pub(super) fn share(came: f64, seen: f64) -> f64 {
    came / (seen + 1.0)
}
