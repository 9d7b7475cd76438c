// How Sphinx's search ranks what it finds: as by default, with what teaches a thing before what names it.
const RANKS = [["lessons/deeper/", 10], ["lessons/", 30], ["exercises/", 5]];

var Scorer = {
  score: ([page, , , , score]) => score + (RANKS.find(([start]) => page.startsWith(start)) ?? ["", 0])[1],
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
