"""What language models and classifiers share: phases, schedules, checkpoints, fastai's Learner."""
