//! Every tensor of a small model of each family in turn: taken away, of another shape, of another number format, and
//! no numbers.

use std::collections::HashMap;
use std::fs;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype as Stored, TensorView};

use super::*;

/// A folder of `tests/goldens`, what it is for, and a file of weights in it.
const FAMILIES: [(&str, Task, &str); 13] = [
    ("marian/shared", Task::Translation, WEIGHTS),
    ("marian/apart", Task::Translation, WEIGHTS),
    ("multilingual/m2m100", Task::Translation, WEIGHTS),
    ("multilingual/mbart50", Task::Translation, WEIGHTS),
    ("multilingual/mbart50-to-one", Task::Translation, WEIGHTS),
    ("multilingual/nllb", Task::Translation, WEIGHTS),
    ("classifier/bert", Task::TextClassification, WEIGHTS),
    ("classifier/xlm-roberta", Task::TextClassification, WEIGHTS),
    ("embed/bert-cls-dense-normalize", Task::SentenceSimilarity, WEIGHTS),
    ("embed/bert-cls-dense-normalize", Task::SentenceSimilarity, "2_Dense/model.safetensors"),
    ("embed/xlm-roberta-mean", Task::FeatureExtraction, WEIGHTS),
    ("whisper-english", Task::AutomaticSpeechRecognition, WEIGHTS),
    ("whisper-multilingual", Task::AutomaticSpeechRecognition, WEIGHTS),
];

const WEIGHTS: &str = "model.safetensors";

/// What models leave in the file, since they do not use it: a part of the family's name and one of the tensor's.
const LEFT: [(&str, &str); 2] = [("embed/", "pooler.dense."), ("mbart50-to-one", "model.shared.weight")];
/// What they do without where it is not there, since another one takes its place.
const OPTIONAL: [(&str, &str); 2] = [("", "final_logits_bias"), ("mbart50-to-one", "embed_tokens.weight")];

#[derive(Clone)]
struct Tensor {
    name: String,
    format: Stored,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// A copy of a model whose tensors can be changed.
struct Model {
    name: &'static str,
    task: Task,
    copy: tempfile::TempDir,
    weights: &'static str,
    tensors: Vec<Tensor>,
    metadata: Option<HashMap<String, String>>,
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            copy_tree(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

impl Model {
    fn of((name, task, weights): (&'static str, Task, &'static str)) -> Self {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(&golden(name), copy.path());
        let bytes = fs::read(copy.path().join(weights)).unwrap();
        let tensor = |(name, view): (String, TensorView<'_>)| Tensor {
            name,
            format: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors().into_iter().map(tensor).collect();
        let metadata = SafeTensors::read_metadata(&bytes).unwrap().1.metadata().clone();
        Self { name, task, copy, weights, tensors, metadata }
    }

    /// Writes the model with its tensors changed.
    fn change(&self, change: impl FnOnce(&mut Vec<Tensor>)) {
        let mut tensors = self.tensors.clone();
        change(&mut tensors);
        let views = tensors.iter().map(|tensor| {
            (&tensor.name, TensorView::new(tensor.format, tensor.shape.clone(), &tensor.bytes).unwrap())
        });
        let bytes = safetensors::serialize(views, self.metadata.clone()).unwrap();
        fs::write(self.copy.path().join(self.weights), bytes).unwrap();
    }

    fn load(&self, dtype: Dtype) -> Result<Box<dyn Engine>, LoadError> {
        load(self.copy.path(), self.task, &options(dtype))
    }

    fn is_among(&self, list: &[(&str, &str)], tensor: &str) -> bool {
        list.iter().any(|(family, part)| self.name.contains(family) && tensor.contains(part))
    }

    /// The error of measuring the model, which is that of loading it too; none where it loads.
    fn refused(&self) -> Option<LoadError> {
        let measured = inspect(self.copy.path(), self.task, &options(Dtype::Float32)).err();
        let loaded = self.load(Dtype::Float32).err();
        let text = |error: &Option<LoadError>| error.as_ref().map(ToString::to_string);
        assert_eq!(text(&measured), text(&loaded), "{}", self.name);
        measured
    }
}

/// Row 32: whichever tensor is missing, has another shape or another number format, and whichever there is too many: the
/// error names it, and is there before a weight is read.
#[test]
fn row_32_a_tensor_that_is_not_as_the_model_needs_it_is_named() {
    for family in FAMILIES {
        let model = Model::of(family);
        assert!(model.refused().is_none(), "{}", model.name);
        let assert_named = |tensor: &str, what: &str| {
            let error = model.refused().unwrap_or_else(|| panic!("{}: {tensor} may be {what}", model.name));
            let (text, is_named) = (error.to_string(), format!("{tensor:?}"));
            assert_eq!(error.reason(), "Incompatible", "{}: {tensor} {what}: {text}", model.name);
            assert!(
                text.contains(&is_named) && text.contains(model.weights),
                "{}: {tensor} {what}: {text}",
                model.name
            );
        };
        for (place, Tensor { name, shape, format, .. }) in model.tensors.iter().enumerate() {
            // No model uses numbers of 32 bits without a sign.
            if *format == Stored::F32 {
                model.change(|tensors| tensors[place].format = Stored::U32);
                assert_named(name, "of unsigned numbers");
            }
            if model.is_among(&LEFT, name) {
                continue;
            }
            if !model.is_among(&OPTIONAL, name) {
                model.change(|tensors| drop(tensors.remove(place)));
                assert_named(name, "missing");
            }
            let other = if shape.len() == 1 { vec![1, shape[0]] } else { vec![shape.iter().product()] };
            model.change(|tensors| tensors[place].shape = other);
            assert_named(name, "of another shape");
            model.change(|tensors| {
                let tensor = &mut tensors[place];
                let numbers: usize = tensor.shape.iter().product();
                (tensor.format, tensor.bytes) = (Stored::I8, vec![1; numbers]);
            });
            assert_named(name, "of whole numbers");
        }
        model.change(|tensors| {
            let extra = Tensor { name: "adapter.weight".to_owned(), ..tensors[0].clone() };
            tensors.push(extra);
        });
        assert_named("adapter.weight", "too many");
    }
}

/// Row 33: whichever tensor holds NaN or infinity, the error names it, in each number format. Not every row of a table is
/// taken, so that the first number and the last are none. The first job
/// would not do: a layer that takes the greater of a number and 0 hides them, and so does rounding to bytes.
#[test]
fn row_33_a_tensor_that_holds_a_number_that_is_none_is_named() {
    for family in FAMILIES {
        let model = Model::of(family);
        for dtype in [Dtype::Float32, Dtype::Bfloat16, Dtype::Int8] {
            model.change(|_| ());
            model.load(dtype).unwrap().canary().unwrap();
            for (place, Tensor { name, .. }) in model.tensors.iter().enumerate() {
                if model.is_among(&LEFT, name) {
                    continue;
                }
                for number in [f32::NAN, f32::NEG_INFINITY] {
                    model.change(|tensors| {
                        let tensor = &mut tensors[place];
                        let numbers: usize = tensor.shape.iter().product();
                        let mut values = vec![0.0_f32; numbers];
                        values[0] = number;
                        values[numbers - 1] = number;
                        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
                        (tensor.format, tensor.bytes) = (Stored::F32, bytes.collect());
                    });
                    let error = model.load(dtype).err();
                    let error = error.unwrap_or_else(|| panic!("{}: {name} {dtype} {number}", model.name));
                    assert_eq!(error.reason(), "NotFinite", "{}: {error}", model.name);
                    assert!(
                        error.to_string().contains(&format!("{name:?}")),
                        "{}: {name}: {error}",
                        model.name
                    );
                }
            }
        }
    }
}
