"""This project beside the stock libraries, in one run on one machine.

    run           names of the benches, what `ulmfit bench` calls
    measure       one program in a process of its own: seconds, CPU, other load, memory
    compare       programs in turn, several times; ratio and spread; table and JSON
    extract       dump -> documents, beside wikiextractor
    quality       the texts of all engines beside references made by hand
    reference     words, their hashes, recall and precision in order
    encode        documents -> token arrays, beside fastai
    encode_program  what the processes of `encode` run
    loader        batches of a language model, beside fastai
    loader_program  what the processes of `loader` run
    lm            training of a language model, beside fastai, and where its time goes
    lm_program    what the processes of `lm` run
    classifier    training and prediction of a classifier, beside fastai, and where its time goes
    classifier_program  what the processes of `classifier` run
    classifier_stock  fastai's classifier with our weights and documents
    predict       texts to probabilities by a bundle, in torch and onnxruntime, beside fastai
    predict_program  what the processes of `predict` run
    serve         requests per second and waiting times of `ulmfit serve`
    serve_program  what the processes of `serve` run
    pairs         what `lm` and `classifier` share: jobs in pairs, and the report
    job           what a process of theirs does, and how many operations that takes
    program       what their processes share: seconds, memory, fastai's precision
    profile       where the time of a batch goes
    made_tokens   token arrays for `loader` and `lm`

A new bench is a module with `USES` and `run(options, folder, log)`, and a line in `run`.
"""
