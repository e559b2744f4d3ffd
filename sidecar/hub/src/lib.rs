//! A client of the Hugging Face Hub's HTTP interface that checks every status, bounds every wait and guards its token.
