//! What is asked, as a hash: equal questions have equal hashes, and nobody can find two others that have. Pure.
//!
//! The hash is SHA-256, because whoever sends requests chooses what is hashed, and a second input with the hash of a
//! first one would be answered with the first one's answer. Each part is written with its length or under a number that
//! says what follows, so that no two questions write the same bytes.

use ostler_crds::names::{Dtype, LongForm};
use ostler_inference::engine::{
    ClassifyJob, DetectLanguageJob, EmbedJob, Job, Temperature, TextFormat, TranscribeJob, TranslateJob,
};
use sha2::{Digest, Sha256};

use crate::lease::Provenance;
use crate::target::VersionKey;

/// The weights that answer, and how they compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The version, whether it is at the revision or was.
    pub key: VersionKey,
    /// The commit, or `sha256:` and the digest of a folder.
    pub revision: String,
    /// The number format that is computed in, `auto` resolved.
    pub dtype: Dtype,
}

impl Pin {
    /// The pin that made an answer.
    #[must_use]
    pub fn of(provenance: &Provenance) -> Self {
        Self { key: key_of(provenance), revision: provenance.revision.clone(), dtype: provenance.dtype }
    }

    /// Whether it made an answer.
    #[must_use]
    pub fn has_made(&self, provenance: &Provenance) -> bool {
        Self::of(provenance) == *self
    }
}

/// The version that made an answer.
pub(super) fn key_of(provenance: &Provenance) -> VersionKey {
    VersionKey {
        model: provenance.model.clone(),
        version: provenance.version.clone(),
        language_pair: provenance.language_pair.clone(),
        retired: None,
    }
}

/// A job and what it is about, as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question([u8; 32]);

/// A question to a pin, as a hash: the key of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AnswerKey([u8; 32]);

impl Question {
    /// Of a job. `upload` is the file that the job's samples are decoded from, where there is one: it stands for the
    /// samples, so that an equal file need not be decoded.
    #[must_use]
    pub fn of(job: &Job, upload: Option<&[u8]>) -> Self {
        let mut hash = Writer(Sha256::new());
        match job {
            Job::Transcribe(job) => hash.transcribe(job, upload),
            Job::DetectLanguage(DetectLanguageJob { samples }) => {
                hash.tag(1);
                hash.audio(samples, upload);
            }
            Job::Translate(job) => hash.translate(job),
            Job::Classify(ClassifyJob { texts }) => {
                hash.tag(3);
                hash.texts(texts);
            }
            Job::Embed(EmbedJob { texts, dimensions }) => {
                hash.tag(4);
                hash.texts(texts);
                hash.count(*dimensions);
            }
        }
        Self(hash.0.finalize().into())
    }

    /// The key of the answer that a pin gives.
    #[must_use]
    pub fn to(self, pin: &Pin) -> AnswerKey {
        // Whether the revision is the present one changes no answer.
        let Pin { key: VersionKey { model, version, language_pair, retired: _ }, revision, dtype } = pin;
        let mut hash = Writer(Sha256::new());
        hash.bytes(&self.0);
        hash.text(model.as_str());
        hash.text(version.as_str());
        hash.optional_text(language_pair.as_ref().map(|pair| pair.as_str()));
        hash.text(revision);
        hash.text(&dtype.to_string());
        AnswerKey(hash.0.finalize().into())
    }
}

/// Writes values so that no two sequences of them write the same bytes.
struct Writer(Sha256);

impl Writer {
    fn transcribe(&mut self, job: &TranscribeJob, upload: Option<&[u8]>) {
        // Every field is named, so that a new one cannot be forgotten here.
        let TranscribeJob {
            samples,
            language,
            translate,
            timestamps,
            prompt,
            condition_on_previous_text,
            beams,
            temperature,
            words,
            best_of,
            long_form,
        } = job;
        self.tag(0);
        self.audio(samples, upload);
        self.optional_text(language.as_deref());
        for flag in [*translate, *timestamps, *condition_on_previous_text, *words] {
            self.tag(u8::from(flag));
        }
        self.optional_text(prompt.as_deref());
        self.count(*beams);
        match temperature {
            Temperature::Ladder => self.tag(0),
            Temperature::Fixed(temperature) => {
                self.tag(1);
                self.0.update(temperature.to_bits().to_le_bytes());
            }
        }
        self.count(Some(*best_of));
        self.tag(match long_form {
            LongForm::Sequential => 0,
            LongForm::Batched => 1,
        });
    }

    fn translate(&mut self, job: &TranslateJob) {
        let TranslateJob { texts, source, target, beams, split_sentences, format, alternatives } = job;
        self.tag(2);
        self.texts(texts);
        self.optional_text(source.as_deref());
        self.optional_text(target.as_deref());
        self.count(*beams);
        self.tag(u8::from(*split_sentences));
        self.tag(match format {
            TextFormat::Plain => 0,
            TextFormat::Html => 1,
        });
        self.count(Some(*alternatives));
    }

    /// A file, or samples where there is none.
    fn audio(&mut self, samples: &[f32], upload: Option<&[u8]>) {
        if let Some(file) = upload {
            self.tag(1);
            self.bytes(file);
            return;
        }
        self.tag(0);
        self.count(Some(samples.len()));
        for sample in samples {
            self.0.update(sample.to_bits().to_le_bytes());
        }
    }

    fn texts(&mut self, texts: &[String]) {
        self.count(Some(texts.len()));
        texts.iter().for_each(|text| self.text(text));
    }

    fn optional_text(&mut self, text: Option<&str>) {
        self.tag(u8::from(text.is_some()));
        self.text(text.unwrap_or_default());
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn count(&mut self, count: Option<usize>) {
        self.tag(u8::from(count.is_some()));
        self.0.update((count.unwrap_or_default() as u64).to_le_bytes());
    }

    fn tag(&mut self, tag: u8) {
        self.0.update([tag]);
    }
}

#[cfg(test)]
mod tests;
