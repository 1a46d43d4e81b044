"""The words of a report that a reader may not know."""

GLOSSARY = {
    "reach": "How far back an input can lie and still change a single bit of the output.",
    "sensitivity": "How strongly the output changes with a small change of an input: the gradient.",
    "use": "How much predictions change when an input is really replaced, removed or moved.",
    "storage": "What can be read back from the state, in bits.",
    "horizon": "The distance beyond which a quantity stays below a small, stated level.",
    "half-life": "Over so many steps the gradient falls to a half.",
    "interval": "Where the truth lies in 95 of 100 such measurements, unless another level is "
    "stated; what varies between them are the sequences.",
    "null": "The same estimate where there is nothing to find. A value is evidence only if its "
    "interval lies outside.",
    "ceiling": "The most that could have been found.",
    "untrained": "The same model with weights as they were before any training.",
    "independent inputs": "Drawn independently of one another, symbols as often as in the data: "
    "nothing can be guessed from others, so what is kept was remembered.",
    "state space": "A family: linear recurrences, selective state spaces, linear attention and "
    "whatever else carries a state through the steps without a recurrent layer of torch. A hybrid "
    "has modules of several kinds, which are named in brackets.",
    "form of execution": "The same weights may be executed step by step, as a scan that joins "
    "pairs, or all at once. Outputs are the same; how many operators wait for one another is not.",
    "distance": "Steps from an input back from the prediction; the one asked about is marked in "
    "the figures.",
    "status": "problem and attention: the interval of a number clears the threshold of a rule. "
    "fine: a rule found nothing wrong. info: measured, and no judgement.",
    "verdict's sources": "theory: it follows from the definition. paper: a published threshold. "
    "our convention: a threshold that we chose, and say so.",
}
