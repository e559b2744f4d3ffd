//! `MBart50Tokenizer` and `M2M100Tokenizer`: one sentencepiece model, numbered as fairseq does, with a token for each
//! language.

use std::path::Path;

use super::special::{Part, SpecialTokens};
use super::{Codec, SPACE, TokenizerConfig, check_token};
use crate::error::LoadError;
use crate::files;
use crate::sentencepiece::SentencePieces;
use crate::seq2seq::architecture::Architecture;
use crate::seq2seq::languages::{Languages, Marking};
use crate::token_table::TokenTable;
use crate::tokenize;

/// fairseq's own tokens, with the numbers that it gives them.
const FAIRSEQ_TOKENS: [(&str, u32); 4] = [("<s>", 0), ("<pad>", 1), ("</s>", 2), ("<unk>", 3)];
const END: u32 = 2;
const UNKNOWN: u32 = 3;
/// sentencepiece's own tokens: `<unk>`, `<s>` and `</s>`, whose places fairseq's take.
const SENTENCEPIECE_TOKENS: usize = 3;

/// The languages of mBART-50 in the order of their tokens, which follow the pieces (`FAIRSEQ_LANGUAGE_CODES` of
/// transformers' tokenization_mbart50.py).
const MBART50_CODES: [&str; 52] = [
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT",
    "ja_XX", "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK",
    "tr_TR", "vi_VN", "zh_CN", "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE",
    "km_KH", "mk_MK", "ml_IN", "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN",
    "te_IN", "th_TH", "tl_XX", "uk_UA", "ur_PK", "xh_ZA", "gl_ES", "sl_SI",
];

/// The languages of M2M100 in the order of their tokens, which follow the vocabulary (`FAIRSEQ_LANGUAGE_CODES` of
/// transformers' tokenization_m2m_100.py).
const M2M100_CODES: [&str; 100] = [
    "af", "am", "ar", "ast", "az", "ba", "be", "bg", "bn", "br", "bs", "ca", "ceb", "cs", "cy", "da", "de",
    "el", "en", "es", "et", "fa", "ff", "fi", "fr", "fy", "ga", "gd", "gl", "gu", "ha", "he", "hi", "hr",
    "ht", "hu", "hy", "id", "ig", "ilo", "is", "it", "ja", "jv", "ka", "kk", "km", "kn", "ko", "lb", "lg",
    "ln", "lo", "lt", "lv", "mg", "mk", "ml", "mn", "mr", "ms", "my", "ne", "nl", "no", "ns", "oc", "or",
    "pa", "pl", "ps", "pt", "ro", "ru", "sd", "si", "sk", "sl", "so", "sq", "sr", "ss", "su", "sv", "sw",
    "ta", "th", "tl", "tn", "tr", "uk", "ur", "uz", "vi", "wo", "xh", "yi", "yo", "zh", "zu",
];

/// The languages of the M2M100 models of WMT 2021 (`language_codes: wmt21`).
const WMT21_CODES: [&str; 8] = ["en", "ha", "is", "ja", "cs", "ru", "zh", "de"];

/// How pieces are numbered.
enum Numbering {
    /// One more than sentencepiece's numbers: mBART-50.
    Shifted,
    /// By a list: M2M100.
    Listed(TokenTable),
}

struct PieceCodec {
    model: SentencePieces,
    numbering: Numbering,
    special: SpecialTokens,
    special_ids: Vec<u32>,
}

/// Reads the tokenizer of an mBART-50 repository that has no tokenizer.json.
pub(super) fn read_mbart50(
    folder: &Path,
    config: &TokenizerConfig,
    model: &Architecture,
) -> Result<(Box<dyn Codec>, Languages), LoadError> {
    let pieces = tokenize::read_sentencepiece(folder, files::SENTENCEPIECE)?;
    let first = pieces.count() + 1;
    let mask = first + MBART50_CODES.len();
    if mask + 1 != model.source_vocabulary {
        return Err(LoadError::Incompatible(format!(
            "{} with the {} languages of mBART-50 makes a vocabulary of {}, config.json says {}; of the mbart models \
             mBART-50 is supported",
            files::SENTENCEPIECE,
            MBART50_CODES.len(),
            mask + 1,
            model.source_vocabulary
        )));
    }
    let codes = numbered(&MBART50_CODES, first as u32);
    let spelled = codes.iter().cloned().chain([("<mask>".to_owned(), mask as u32)]);
    let codec = PieceCodec::new(pieces, Numbering::Shifted, spelled)?;
    Ok((Box::new(codec), languages(config, codes)))
}

/// Reads the tokenizer of an M2M100 repository.
pub(super) fn read_m2m100(
    folder: &Path,
    config: &TokenizerConfig,
    model: &Architecture,
) -> Result<(Box<dyn Codec>, Languages), LoadError> {
    let known: &[&str] = match config.language_codes.as_deref() {
        None | Some("m2m100") => &M2M100_CODES,
        Some("wmt21") => &WMT21_CODES,
        Some(other) => {
            let name = files::TOKENIZER_CONFIG;
            let message = format!("{name}: language_codes {other:?} must be \"m2m100\" or \"wmt21\"");
            return Err(LoadError::Incompatible(message));
        }
    };
    let pieces = tokenize::read_sentencepiece(folder, files::SENTENCEPIECE)?;
    let vocabulary: TokenTable = files::read_json(folder, files::VOCABULARY)?;
    let size = model.source_vocabulary;
    vocabulary.iter().try_for_each(|(id, token)| check_token(files::VOCABULARY, token, id, size))?;
    for (token, id) in FAIRSEQ_TOKENS {
        if vocabulary.number(token) != Some(id) {
            let message = format!("the token {token:?} must have the number {id}");
            return Err(LoadError::corrupted(files::VOCABULARY, message));
        }
    }
    let codes = numbered(known, vocabulary.count() as u32);
    codes.iter().try_for_each(|(code, id)| check_token(files::VOCABULARY, code, *id, size))?;
    let spelled: Vec<_> = codes.iter().map(|(code, id)| (format!("__{code}__"), *id)).collect();
    let codec = PieceCodec::new(pieces, Numbering::Listed(vocabulary), spelled)?;
    Ok((Box::new(codec), languages(config, codes)))
}

fn numbered(codes: &[&str], first: u32) -> Vec<(String, u32)> {
    codes.iter().map(|code| (*code).to_owned()).zip(first..).collect()
}

fn languages(config: &TokenizerConfig, codes: Vec<(String, u32)>) -> Languages {
    Languages {
        marking: Marking::SourceFirst,
        codes,
        end: END,
        source: config.src_lang.clone(),
        target: config.tgt_lang.clone(),
        forced_begin: None,
    }
}

impl PieceCodec {
    /// `spelled` are the special tokens beside fairseq's own.
    fn new(
        model: SentencePieces,
        numbering: Numbering,
        spelled: impl IntoIterator<Item = (String, u32)>,
    ) -> Result<Self, LoadError> {
        let own = FAIRSEQ_TOKENS.into_iter().map(|(token, id)| (token.to_owned(), id));
        let (special, special_ids): (Vec<String>, _) = own.chain(spelled).unzip();
        Ok(Self { model, numbering, special: SpecialTokens::new(&special)?, special_ids })
    }
}

impl Codec for PieceCodec {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let mut tokens = Vec::new();
        for part in self.special.split(text) {
            let text = match part {
                Part::Special(number) => {
                    tokens.push(self.special_ids[number]);
                    continue;
                }
                Part::Text(text) => text,
            };
            match &self.numbering {
                Numbering::Shifted => {
                    let ids = self.model.encode_to_ids(text)?;
                    let shifted = |id: usize| if id < SENTENCEPIECE_TOKENS { UNKNOWN } else { id as u32 + 1 };
                    tokens.extend(ids.into_iter().map(shifted));
                }
                Numbering::Listed(vocabulary) => {
                    let pieces = self.model.encode(text)?;
                    tokens.extend(pieces.iter().map(|piece| vocabulary.number(piece).unwrap_or(UNKNOWN)));
                }
            }
        }
        Ok(tokens)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, String> {
        let piece = |token: &u32| -> Option<&str> {
            if self.special_ids.contains(token) {
                return None;
            }
            match &self.numbering {
                Numbering::Shifted => self.model.piece((*token as usize).checked_sub(1)?),
                Numbering::Listed(vocabulary) => vocabulary.text(*token),
            }
        };
        let pieces: Vec<&str> = tokens.iter().filter_map(piece).collect();
        let text = self.model.decode(&pieces)?;
        Ok(text.replace(SPACE, " ").trim().to_owned())
    }
}
