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
    lm_job        what a process of `lm` does, and how many operations that takes
    lm_program    what the processes of `lm` run
    lm_profile    where the time of a training step goes
    made_tokens   token arrays for `loader` and `lm`

A new bench is a module with `USES` and `run(options, folder, log)`, and a line in `run`.
"""
