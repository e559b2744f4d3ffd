//! Which jobs can be done as one, and how: a model takes a second text at little more than the cost of one. Pure.
//!
//! On this project's kernels no answer depends on what else is in its batch, so nobody can tell, but by the clock.

use ostler_inference::engine::{ClassifyJob, EmbedJob, Embeddings, Job, Output, TextFormat, TranslateJob};

/// What jobs must have in common to be done as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Translate {
        source: Option<String>,
        target: Option<String>,
        beams: Option<usize>,
        split_sentences: bool,
        format: TextFormat,
        alternatives: usize,
    },
    Classify,
    Embed {
        dimensions: Option<usize>,
    },
}

impl Kind {
    /// The kind of a job of texts; `None` for jobs that are always done alone.
    pub(super) fn of(job: &Job) -> Option<Self> {
        match job {
            Job::Translate(job) => Some(Self::Translate {
                source: job.source.clone(),
                target: job.target.clone(),
                beams: job.beams,
                split_sentences: job.split_sentences,
                format: job.format,
                alternatives: job.alternatives,
            }),
            Job::Classify(_) => Some(Self::Classify),
            Job::Embed(job) => Some(Self::Embed { dimensions: job.dimensions }),
            Job::Transcribe(_) | Job::DetectLanguage(_) => None,
        }
    }

    /// The one job with the texts of several, in their order.
    fn job(&self, texts: Vec<String>) -> Job {
        match self.clone() {
            Self::Translate { source, target, beams, split_sentences, format, alternatives } => {
                Job::Translate(TranslateJob {
                    texts,
                    source,
                    target,
                    beams,
                    split_sentences,
                    format,
                    alternatives,
                })
            }
            Self::Classify => Job::Classify(ClassifyJob { texts }),
            Self::Embed { dimensions } => Job::Embed(EmbedJob { texts, dimensions }),
        }
    }
}

/// The texts of a job.
pub(super) fn texts(job: &Job) -> &[String] {
    match job {
        Job::Translate(job) => &job.texts,
        Job::Classify(job) => &job.texts,
        Job::Embed(job) => &job.texts,
        Job::Transcribe(_) | Job::DetectLanguage(_) => &[],
    }
}

/// Which of the waiting jobs are done together with the one at `own`: it, and of those of its kind the first, as long
/// as all have at most `most` texts. `waiting` is the kind and the number of texts of each, in the order of asking.
pub(super) fn choose<K: PartialEq>(
    own: usize,
    waiting: impl IntoIterator<Item = (K, usize)> + Clone,
    most: usize,
) -> Vec<usize> {
    let Some((kind, own_texts)) = waiting.clone().into_iter().nth(own) else { return Vec::new() };
    let mut texts = own_texts;
    let mut chosen = Vec::new();
    for (place, (other, count)) in waiting.into_iter().enumerate() {
        if place == own {
            chosen.push(place);
        } else if other == kind && texts + count <= most {
            texts += count;
            chosen.push(place);
        }
    }
    chosen
}

/// One job that does all of these, which are of one kind; `None` where there is none.
pub(super) fn merge(jobs: &[&Job]) -> Option<Job> {
    let kind = Kind::of(jobs.first()?)?;
    Some(kind.job(jobs.iter().flat_map(|job| texts(job)).cloned().collect()))
}

/// The outputs of the jobs that were done as one, each of which had so many texts; `None` where the output has another
/// number of answers than there were texts.
pub(super) fn split(output: Output, counts: &[usize]) -> Option<Vec<Output>> {
    match output {
        Output::Translations(all) => cut(all, counts).map(|parts| map(parts, Output::Translations)),
        Output::Labels(all) => cut(all, counts).map(|parts| map(parts, Output::Labels)),
        Output::Embeddings(Embeddings { vectors, tokens }) => {
            let parts = cut(vectors, counts)?.into_iter().zip(cut(tokens, counts)?);
            let embeddings = |(vectors, tokens)| Output::Embeddings(Embeddings { vectors, tokens });
            Some(parts.map(embeddings).collect())
        }
        Output::Transcript(_) | Output::Languages(_) => None,
    }
}

fn cut<T>(all: Vec<T>, counts: &[usize]) -> Option<Vec<Vec<T>>> {
    if all.len() != counts.iter().sum::<usize>() {
        return None;
    }
    let mut all = all.into_iter();
    Some(counts.iter().map(|count| all.by_ref().take(*count).collect()).collect())
}

fn map<T>(parts: Vec<Vec<T>>, output: impl Fn(Vec<T>) -> Output) -> Vec<Output> {
    parts.into_iter().map(output).collect()
}

#[cfg(test)]
mod tests {
    use ostler_inference::engine::{LabelScore, TranscribeJob};
    use proptest::prelude::*;

    use super::*;

    fn classify(texts: &[&str]) -> Job {
        Job::Classify(ClassifyJob { texts: texts.iter().map(|text| (*text).to_owned()).collect() })
    }

    fn embed(dimensions: Option<usize>) -> Job {
        Job::Embed(EmbedJob { texts: vec!["a".to_owned()], dimensions })
    }

    #[test]
    fn jobs_that_differ_in_more_than_texts_are_not_done_together() {
        let kind = |job: &Job| Kind::of(job).unwrap();
        assert_eq!(kind(&classify(&["a"])), kind(&classify(&["b", "c"])));
        assert_ne!(kind(&classify(&["a"])), kind(&embed(None)));
        assert_ne!(kind(&embed(Some(8))), kind(&embed(None)));
        assert!(Kind::of(&Job::Transcribe(TranscribeJob::new(vec![0.0]))).is_none());
    }

    #[test]
    fn the_first_of_its_kind_come_along_as_far_as_there_is_room() {
        let (labels, vectors) = (Kind::Classify, Kind::Embed { dimensions: None });
        let waiting = [(&labels, 1), (&vectors, 1), (&labels, 3), (&labels, 4), (&labels, 2)];
        assert_eq!(choose(0, waiting, 6), [0, 2, 4]);
        assert_eq!(choose(2, waiting, 4), [0, 2]);
        assert_eq!(choose(1, waiting, 6), [1]);
        // A job that is too large alone is done alone.
        assert_eq!(choose(3, waiting, 1), [3]);
        assert_eq!(choose(5, waiting, 6), [0_usize; 0]);
    }

    proptest! {
        #[test]
        fn everybody_gets_the_answers_to_their_own_texts(
            texts in prop::collection::vec(prop::collection::vec("[a-z]{0,3}", 0..4), 1..6),
        ) {
            let jobs: Vec<Job> =
                texts.iter().map(|texts| Job::Classify(ClassifyJob { texts: texts.clone() })).collect();
            let merged = merge(&jobs.iter().collect::<Vec<_>>()).unwrap();
            let label = |text: &String| vec![LabelScore { label: text.clone(), score: 1.0 }];
            let output = Output::Labels(super::texts(&merged).iter().map(label).collect());
            let counts: Vec<usize> = texts.iter().map(Vec::len).collect();
            for (output, texts) in split(output.clone(), &counts).unwrap().iter().zip(&texts) {
                let Output::Labels(labels) = output else { panic!("{output:?}") };
                prop_assert_eq!(labels, &texts.iter().map(label).collect::<Vec<_>>());
            }
            prop_assert!(split(output, &[counts.as_slice(), &[1]].concat()).is_none());
        }
    }
}
