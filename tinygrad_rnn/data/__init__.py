"""From text to ids and batches: tokenizers, `TokenStream`, documents, padded batches, ids in a file."""
