//! Which modules a sentence encoder consists of: `modules.json`, as sentence-transformers writes it. Pure.

use serde::Deserialize;

use crate::error::LoadError;
use crate::files::MODULES;

/// More modules than any published encoder has.
const MAX_MODULES: usize = 16;

/// What follows a transformer: how its states become one vector, and what happens to the vector. Each names the
/// folder of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stack {
    /// `None` is the mean of the states, which sentence-transformers takes where nothing is said.
    pub(super) pooling: Option<String>,
    pub(super) steps: Vec<Step>,
}

/// What happens to a vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A linear layer with an activation.
    Dense(String),
    /// The vector is scaled to length 1.
    Normalize(String),
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    class: String,
    path: String,
}

/// Reads `modules.json`.
///
/// # Errors
/// [`LoadError::Incompatible`] names a module that there is no code for, or that stands where it cannot.
pub(super) fn parse(json: &[u8]) -> Result<Stack, LoadError> {
    let modules: Vec<Module> =
        serde_json::from_slice(json).map_err(|error| LoadError::corrupted(MODULES, error))?;
    let incompatible = |message: String| LoadError::Incompatible(format!("{MODULES}: {message}"));
    if modules.len() > MAX_MODULES {
        return Err(incompatible(format!(
            "there are {} modules, at most {MAX_MODULES} are read",
            modules.len()
        )));
    }
    let mut modules = modules.into_iter();
    let is_transformer = |module: &Module| kind(&module.class) == Some("Transformer");
    match modules.next().filter(is_transformer) {
        Some(module) if module.path.is_empty() => {}
        Some(module) => {
            return Err(incompatible(format!(
                "the transformer lies in {:?}; it is read from the repository's root alone",
                module.path
            )));
        }
        None => return Err(incompatible("the first module must be a Transformer".to_owned())),
    }
    let mut pooling = None;
    let mut steps = Vec::new();
    for module in modules {
        let folder = module.path;
        match (kind(&module.class), &pooling) {
            (Some("Pooling"), None) => pooling = Some(checked(folder)?),
            (Some("Dense"), Some(_)) => steps.push(Step::Dense(checked(folder)?)),
            (Some("Normalize"), Some(_)) => steps.push(Step::Normalize(checked(folder)?)),
            (Some("Transformer" | "Pooling" | "Dense" | "Normalize"), _) => {
                return Err(incompatible(format!(
                    "{} stands where it cannot: the order is Transformer, Pooling, then Dense and Normalize",
                    module.class
                )));
            }
            _ => {
                return Err(incompatible(format!(
                    "{:?} is not supported; Transformer, Pooling, Dense and Normalize are",
                    module.class
                )));
            }
        }
    }
    if pooling.is_none() {
        return Err(incompatible("there is no Pooling, so texts have no vector of their own".to_owned()));
    }
    Ok(Stack { pooling, steps })
}

/// The class of a module of sentence-transformers, in whichever of its packages a release has it.
fn kind(class: &str) -> Option<&str> {
    class.strip_prefix("sentence_transformers.")?.rsplit('.').next()
}

/// A folder's name, safe to join to another.
fn checked(folder: String) -> Result<String, LoadError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_safe =
        (1..=64).contains(&folder.len()) && folder.bytes().all(is_allowed) && !folder.starts_with('.');
    if is_safe {
        Ok(folder)
    } else {
        Err(LoadError::corrupted(MODULES, format!("{folder:?} is no folder's name")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(modules: &[(&str, &str)]) -> Result<Stack, LoadError> {
        let list: Vec<_> = modules
            .iter()
            .enumerate()
            .map(|(index, (class, path))| {
                serde_json::json!({"idx": index, "name": index.to_string(), "path": path, "type": class})
            })
            .collect();
        parse(serde_json::Value::from(list).to_string().as_bytes())
    }

    const TRANSFORMER: (&str, &str) = ("sentence_transformers.models.Transformer", "");
    const POOLING: (&str, &str) = ("sentence_transformers.models.Pooling", "1_Pooling");
    const NORMALIZE: (&str, &str) = ("sentence_transformers.models.Normalize", "2_Normalize");

    #[test]
    fn modules_are_read_in_the_names_of_every_release() {
        let dense = ("sentence_transformers.base.modules.dense.Dense", "2_Dense");
        let labse = stack(&[TRANSFORMER, POOLING, dense, NORMALIZE]).unwrap();
        assert_eq!(labse.pooling.as_deref(), Some("1_Pooling"));
        assert_eq!(
            labse.steps,
            [Step::Dense("2_Dense".to_owned()), Step::Normalize("2_Normalize".to_owned())]
        );
        let pooling = ("sentence_transformers.sentence_transformer.modules.pooling.Pooling", "1_Pooling");
        let transformer = ("sentence_transformers.base.modules.transformer.Transformer", "");
        assert_eq!(stack(&[transformer, pooling]).unwrap().steps, []);
    }

    #[test]
    fn what_there_is_no_code_for_is_refused_by_name() {
        let cases: [(&[(&str, &str)], &str); 9] = [
            (&[], "the first module must be a Transformer"),
            (&[TRANSFORMER], "there is no Pooling"),
            (&[POOLING], "the first module must be a Transformer"),
            (&[("sentence_transformers.models.Transformer", "0_Transformer"), POOLING], "0_Transformer"),
            (&[TRANSFORMER, POOLING, ("sentence_transformers.models.LSTM", "2_LSTM")], "models.LSTM"),
            (&[TRANSFORMER, POOLING, ("custom_code.Pooling", "2_Pooling")], "custom_code.Pooling"),
            (&[TRANSFORMER, POOLING, POOLING], "stands where it cannot"),
            (&[TRANSFORMER, NORMALIZE, POOLING], "stands where it cannot"),
            (&[TRANSFORMER, ("sentence_transformers.models.Pooling", "../1_Pooling")], "is no folder's name"),
        ];
        for (modules, expected) in cases {
            let error = stack(modules).unwrap_err().to_string();
            assert!(error.contains("modules.json") && error.contains(expected), "{error}");
        }
        assert_eq!(parse(b"{").unwrap_err().reason(), "Corrupted");
        assert!(stack(&[TRANSFORMER; 17]).is_err());
    }
}
