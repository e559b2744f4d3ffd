//! Leaf types: the processor, and what was measured of it.

use std::collections::BTreeMap;

use ostler_kernels::Instructions;

/// What a processor says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processor {
    /// `GenuineIntel`, `AuthenticAMD`.
    pub vendor: String,
    /// The maker's name of it.
    pub name: String,
    /// Family, model and stepping: virtual machines often hide the name.
    pub version: String,
    /// The vector extensions that matter here.
    pub extensions: Vec<String>,
    /// Processors that this process may use at once.
    pub threads: usize,
}

/// The extensions that [`Processor::extensions`] lists.
const EXTENSIONS: [&str; 11] = [
    "avx2",
    "fma",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_int8",
    "amx_bf16",
    "asimddp",
];

impl Processor {
    /// Reads the text of `/proc/cpuinfo`.
    #[must_use]
    pub fn parse(cpuinfo: &str, threads: usize) -> Self {
        let field = |name: &str| {
            cpuinfo
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.trim() == name)
                .map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let flags = format!("{} {}", field("flags"), field("Features"));
        let has = |name: &&str| flags.split_whitespace().any(|flag| flag == *name);
        Self {
            vendor: field("vendor_id"),
            name: field("model name"),
            version: format!(
                "family {}, model {}, stepping {}",
                field("cpu family"),
                field("model"),
                field("stepping")
            ),
            extensions: EXTENSIONS.iter().filter(|name| has(name)).map(|name| (*name).to_owned()).collect(),
            threads,
        }
    }

    /// Whether the targets hold here: they were set for AMD processors with AVX-512 VNNI and BF16. CTranslate2 is
    /// stronger on Intel's, torch where there is AMX.
    #[must_use]
    pub fn is_what_targets_are_for(&self) -> bool {
        let has = |name: &str| self.extensions.iter().any(|extension| extension == name);
        self.vendor == "AuthenticAMD" && has("avx512_vnni") && has("avx512_bf16")
    }
}

/// What a number of threads can do at most, operations and bytes a second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Peaks {
    /// The instructions that these are the peaks of.
    pub instructions: Option<Instructions>,
    /// Products of bytes.
    pub int8: f64,
    /// Products of bfloat16; where the instructions have none, those of float32.
    pub bfloat16: f64,
    /// Products of float32.
    pub float32: f64,
    /// Reading so many bytes over and over, by the number of bytes: what fits a cache is read faster.
    pub streams: BTreeMap<u64, f64>,
}

impl Peaks {
    /// Bytes a second at which so many are read over and over: as measured for the nearest number that is not larger,
    /// since fewer bytes are never slower to read; else for the smallest.
    #[must_use]
    pub fn stream(&self, bytes: u64) -> f64 {
        let below = self.streams.range(..=bytes).next_back();
        below.or_else(|| self.streams.iter().next()).map_or(f64::INFINITY, |(_, rate)| *rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUINFO: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\
        model name\t: AMD EPYC\nstepping\t: 1\nflags\t\t: fpu avx2 fma avx512f avx512bw avx512_vnni avx512_bf16\n";

    #[test]
    fn a_processor_is_read_and_judged() {
        let processor = Processor::parse(CPUINFO, 2);
        assert_eq!(processor.name, "AMD EPYC");
        assert_eq!(processor.version, "family 25, model 17, stepping 1");
        assert_eq!(
            processor.extensions,
            ["avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16"]
        );
        assert!(processor.is_what_targets_are_for());
        let without = CPUINFO.replace(" avx512_bf16", "");
        assert!(!Processor::parse(&without, 2).is_what_targets_are_for());
        let intel = CPUINFO.replace("AuthenticAMD", "GenuineIntel");
        assert!(!Processor::parse(&intel, 2).is_what_targets_are_for());
    }

    #[test]
    fn a_stream_is_as_fast_as_the_nearest_that_was_measured() {
        let peaks = Peaks { streams: BTreeMap::from([(100, 9.0), (1000, 2.0)]), ..Peaks::default() };
        for (bytes, rate) in [(10, 9.0), (100, 9.0), (999, 9.0), (1000, 2.0), (5000, 2.0)] {
            assert!((peaks.stream(bytes) - rate).abs() < 1e-12, "{bytes}");
        }
    }
}
